#include "smollm3/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "smollm3/tokenizer_test_vocabulary.h"

namespace smollm3 {
namespace {

using test::VocabularyFile;
using testing::ElementsAre;
using Tokens = std::vector<Token>;

// A few merges, two markers of the chat and a tag of the model's thinking.
struct Chat : VocabularyFile {
  Token user = (merge("u", "s"), merge("e", "r"), merge("us", "er"));
  Token hello = (merge("l", "l"), merge("H", "e"), merge("He", "ll"), merge("Hell", "o"));
  Token newlines = merge("\n", "\n");
  Token accent = merge("\xC3", "\xA9");  // é
  Token im_start = add("<|im_start|>", TokenKind::Control);
  Token im_end = add("<|im_end|>", TokenKind::Control);
  Token end_of_text = add("<|end_of_text|>", TokenKind::Control);
  Token think = add("<think>", TokenKind::UserDefined);
};

std::string random_bytes(std::mt19937& random, std::size_t longest) {
  static const std::vector<std::string> kParts = {
      "<|im_end|>", "<think>",  "<|im_",    "end|>", "user", "Hello", "é",  "\n",           " ",    "\xC3",
      "\xA9",       "\xE2\x82", "\xF0\x9F", "🙂",  "ll",   "<",     "|>", "\xED\xA0\x80", "\xFF", "'s"};
  std::string text;
  for (std::size_t parts = random() % longest; parts > 0; --parts) {
    text += random() % 3 == 0 ? std::string(1, static_cast<char>(random())) : kParts[random() % kParts.size()];
  }
  return text;
}

TEST(Tokenizer, MergesWordsByRank) {
  const Chat file;
  const Tokenizer tokenizer = Tokenizer::load(file.open());
  EXPECT_THAT(tokenizer.encode("Hello"), ElementsAre(file.hello));
  EXPECT_THAT(tokenizer.encode("Hello user"), ElementsAre(file.hello, ' ', file.user));
  EXPECT_THAT(tokenizer.encode("é\n\n"), ElementsAre(file.accent, file.newlines));
  EXPECT_THAT(tokenizer.encode(""), ElementsAre());
}

TEST(Tokenizer, TakesWholeWordsWithoutMergingOnlyUnderLlamaBpe) {
  VocabularyFile file;
  file.merge("b", "c");
  file.merge("a", "b");
  const Token whole = file.merge("ab", "c");  // the merges never get there: bc comes first
  const Token bc = 256;
  const Tokenizer smaug = Tokenizer::load(file.open());
  EXPECT_THAT(smaug.encode("abc"), ElementsAre('a', bc));
  EXPECT_THAT(smaug.encode("abc"), ElementsAre('a', bc));  // now that it knows the whole
  file.pre = "llama-bpe";
  file.add_bos = false;
  const Tokenizer llama = Tokenizer::load(file.open());
  EXPECT_THAT(llama.encode("abc"), ElementsAre(whole));
  EXPECT_THAT(llama.encode("abca"), ElementsAre('a', bc, 'a'));
}

TEST(Tokenizer, RecognisesSpecialTokensOnlyWhereAsked) {
  const Chat file;
  const Tokenizer tokenizer = Tokenizer::load(file.open());
  const std::string text = "<|im_start|>user\nHello<|im_end|>\n<think>";
  EXPECT_THAT(tokenizer.encode(text, true),
              ElementsAre(file.im_start, file.user, '\n', file.hello, file.im_end, '\n', file.think));
  for (const Token token : tokenizer.encode(text)) EXPECT_FALSE(tokenizer.is_special(token));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
}

TEST(Tokenizer, TokenizesFragmentsAsOneText) {
  const Chat file;
  const Tokenizer tokenizer = Tokenizer::load(file.open());
  const std::vector<Fragment> fragments{
      {"<|im_start|>user\n", true}, {"Hel", false}, {"lo\n", true}, {"\n", false}, {"<|im_end|>", true}};
  EXPECT_THAT(tokenizer.encode(fragments),
              ElementsAre(file.im_start, file.user, '\n', file.hello, file.newlines, file.im_end));

  std::mt19937 random(5);
  for (int round = 0; round < 1000; ++round) {
    const bool special = random() % 2 == 0;
    std::vector<std::string> texts(random() % 6);
    std::vector<Fragment> parts;
    std::string whole;
    for (std::string& text : texts) {
      text = random_bytes(random, 4);
      whole += text;
      parts.push_back({text, special});
    }
    ASSERT_EQ(tokenizer.encode(parts), tokenizer.encode(whole, special)) << whole;
  }
}

TEST(Tokenizer, NeverTakesAUsersTextForPartOfASpecialToken) {
  const Chat file;
  const Tokenizer tokenizer = Tokenizer::load(file.open());
  const auto has_special = [&](const Tokens& tokens) {
    return std::any_of(tokens.begin(), tokens.end(), [&](Token token) { return tokenizer.is_special(token); });
  };
  const std::vector<Fragment> straddling{{"<|im_", true}, {"end", false}, {"|>", true}};
  EXPECT_FALSE(has_special(tokenizer.encode(straddling)));
  const std::vector<Fragment> split{{"<|im_", true}, {"end|>", true}};
  EXPECT_THAT(tokenizer.encode(split), ElementsAre(file.im_end));

  std::mt19937 random(1);
  for (int round = 0; round < 3000; ++round) {
    const std::string before = random_bytes(random, 6);
    const std::string text = random_bytes(random, 12);
    const std::string after = random_bytes(random, 6);
    const std::vector<Fragment> fragments{{before, true}, {text, false}, {after, true}};
    const Tokens tokens = tokenizer.encode(fragments);
    ASSERT_EQ(tokenizer.decode(tokens, true), before + text + after);
    std::size_t at = 0;
    for (const Token token : tokens) {
      const std::size_t end = at + tokenizer.bytes(token).size();
      if (tokenizer.is_special(token)) {
        ASSERT_TRUE(end <= before.size() || at >= before.size() + text.size()) << before << '\n'
                                                                               << text << '\n'
                                                                               << after;
      }
      at = end;
    }
  }
}

TEST(Tokenizer, GivesBackAnyBytes) {
  const Chat file;
  const Tokenizer tokenizer = Tokenizer::load(file.open());
  std::mt19937 random(2);
  for (int round = 0; round < 3000; ++round) {
    const std::string text = random_bytes(random, 200);
    const Tokens tokens = tokenizer.encode(text);
    ASSERT_EQ(tokenizer.decode(tokens), text);
    for (const Token token : tokens) ASSERT_FALSE(tokenizer.is_special(token));
  }
}

TEST(Tokenizer, DecodesControlTokensOnlyWhenAsked) {
  const Chat file;
  const Tokenizer tokenizer = Tokenizer::load(file.open());
  const Tokens tokens{file.im_start, file.hello, file.think, file.im_end};
  EXPECT_EQ(tokenizer.decode(tokens), "Hello<think>");
  EXPECT_EQ(tokenizer.decode(tokens, true), "<|im_start|>Hello<think><|im_end|>");
  EXPECT_THROW(tokenizer.decode(Tokens{-1}), base::Error);
  EXPECT_THROW(tokenizer.decode(Tokens{tokenizer.vocab_size()}), base::Error);
}

TEST(Tokenizer, KnowsItsSpecialTokens) {
  Chat file;
  file.eos = 'x';
  file.eot = static_cast<std::uint32_t>(file.im_end);
  file.bos = static_cast<std::uint32_t>(file.im_start);
  const Tokenizer tokenizer = Tokenizer::load(file.open());
  EXPECT_EQ(tokenizer.find("<|im_end|>"), file.im_end);
  EXPECT_EQ(tokenizer.find("<think>"), file.think);
  EXPECT_EQ(tokenizer.find("Hello"), std::nullopt);
  EXPECT_EQ(tokenizer.bos(), file.im_start);
  EXPECT_THAT(tokenizer.end_tokens(), ElementsAre('x', file.im_end, file.end_of_text));
  EXPECT_TRUE(tokenizer.is_end(file.im_end));
  EXPECT_FALSE(tokenizer.is_end(file.think));
  EXPECT_TRUE(tokenizer.is_control(file.im_end));
  EXPECT_FALSE(tokenizer.is_control(file.think));
  EXPECT_TRUE(tokenizer.is_special(file.think));
}

TEST(Tokenizer, AddsABosByDefaultOnlyUnderLlamaBpe) {
  Chat file;
  file.bos = 1;
  EXPECT_FALSE(Tokenizer::load(file.open()).add_bos());
  file.pre = "llama-bpe";
  EXPECT_TRUE(Tokenizer::load(file.open()).add_bos());
  file.add_bos = false;
  EXPECT_FALSE(Tokenizer::load(file.open()).add_bos());
}

TEST(Tokenizer, RefusesFilesThatDoNotFitTogether) {
  const auto refused = [](const char* why, const std::function<void(Chat&)>& spoil) {
    Chat file;
    spoil(file);
    try {
      Tokenizer::load(file.open());
      ADD_FAILURE() << "was taken: " << why;
    } catch (const base::Error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(why));
    }
  };
  refused("model 'llama'", [](Chat& file) { file.model = "llama"; });
  refused("'qwen2'", [](Chat& file) { file.pre = "qwen2"; });
  refused("token types", [](Chat& file) { file.types.pop_back(); });
  refused("unknown type 9", [](Chat& file) { file.types[3] = 9; });
  refused("unknown type 0", [](Chat& file) { file.types[3] = 0; });
  refused("token 5 is empty", [](Chat& file) { file.tokens[5].clear(); });
  refused("alphabet of bytes", [](Chat& file) { file.tokens.back() = "a b", file.types.back() = 1; });
  refused("alphabet of bytes", [](Chat& file) { file.tokens.back() = "a\xC4", file.types.back() = 1; });
  refused("alphabet of bytes", [](Chat& file) { file.tokens.back() = "一", file.types.back() = 1; });
  refused("are the same", [](Chat& file) { file.add("Hello", TokenKind::Normal); });
  refused("have the same name", [](Chat& file) { file.add("Hello", TokenKind::Control); });
  refused("byte 65", [](Chat& file) { file.types[65] = 5; });
  refused("merge 2 is not two tokens", [](Chat& file) { file.merges[2] = "user"; });
  refused("merge 2 is not two tokens", [](Chat& file) { file.merges[2] = "us e r"; });
  refused("merge 2 has a part", [](Chat& file) { file.merges[2] = "use r"; });
  refused("merge 2 has a part", [](Chat& file) { file.merges[2] = " r"; });
  refused("merge 2 makes something", [](Chat& file) { file.merges[2] = "q r"; });
  refused("stands there twice", [](Chat& file) { file.merges.push_back(file.merges[0]); });
  refused("eos_token_id is 9999", [](Chat& file) { file.eos = 9999; });
  refused("bos_token_id is 9999", [](Chat& file) { file.bos = 9999; });
  refused("bos_token_id is missing", [](Chat& file) { file.add_bos = true; });
  refused("tokens", [](Chat& file) { file.tokens.clear(), file.types.clear(); });
}

std::string streamed(const Tokenizer& tokenizer, const Tokens& tokens) {
  StreamDecoder decoder(tokenizer);
  std::string text;
  for (const Token token : tokens) text += decoder.push(token);
  return text + decoder.finish();
}

Tokens single_bytes(std::string_view text) {
  Tokens tokens;
  for (const char c : text) tokens.push_back(static_cast<unsigned char>(c));
  return tokens;
}

TEST(StreamDecoder, HoldsBackUnfinishedCharacters) {
  const Chat file;
  const Tokenizer tokenizer = Tokenizer::load(file.open());
  StreamDecoder decoder(tokenizer);
  EXPECT_EQ(decoder.push(0xF0), "");
  EXPECT_EQ(decoder.push(0x9F), "");
  EXPECT_EQ(decoder.push(file.im_end), "");
  EXPECT_EQ(decoder.push(0x99), "");
  EXPECT_EQ(decoder.push(0x82), "🙂");
  EXPECT_EQ(decoder.push(0xC3), "");
  EXPECT_EQ(decoder.push(file.think), "\uFFFD<think>");
  EXPECT_EQ(decoder.push(0xE2), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
  EXPECT_EQ(decoder.push(file.hello), "Hello");
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamDecoder, ReplacesMaximalSubparts) {
  const Chat file;
  const Tokenizer tokenizer = Tokenizer::load(file.open());
  // Unicode's own examples: tables 3-8 to 3-11 of its core specification.
  EXPECT_EQ(streamed(tokenizer, single_bytes("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41")),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA");
  EXPECT_EQ(streamed(tokenizer, single_bytes("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41")),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA");
  EXPECT_EQ(streamed(tokenizer, single_bytes("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42")),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA\uFFFD\uFFFDB");
  EXPECT_EQ(streamed(tokenizer, single_bytes("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41")), "\uFFFD\uFFFD\uFFFD\uFFFDA");
}

TEST(StreamDecoder, DoesNotDependOnTheTokensBoundaries) {
  const Chat file;
  const Tokenizer tokenizer = Tokenizer::load(file.open());
  std::mt19937 random(4);
  for (int round = 0; round < 3000; ++round) {
    const std::string text = random_bytes(random, 40);
    ASSERT_EQ(streamed(tokenizer, tokenizer.encode(text)), streamed(tokenizer, single_bytes(text)));
  }
  const std::string valid = "Hello é 🙂 一\n";
  EXPECT_EQ(streamed(tokenizer, tokenizer.encode(valid)), valid);
}

}  // namespace
}  // namespace smollm3
