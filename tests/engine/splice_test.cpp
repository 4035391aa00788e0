// The tokens of a conversation that goes on, against what trying all places says.
#include "engine/splice.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "gguf/gguf.h"
#include "reference/source_folder.h"

namespace engine {
namespace {

const smollm3::Tokenizer& tokenizer() {
  static const smollm3::Tokenizer loaded =
      smollm3::Tokenizer::load(gguf::File::open(reference::source_folder() / "models/demo.gguf"));
  return loaded;
}

// Texts that look alike and mean something else are told apart: special tokens stand between brackets.
std::string spelled(std::span<const Token> tokens) {
  std::string text;
  for (const Token token : tokens) {
    const bool special = tokenizer().is_special(token);
    text += special ? "\1[" + std::string(tokenizer().bytes(token)) + "]" : std::string(tokenizer().bytes(token));
  }
  return text;
}

// One of the ways in which a text can be tokenised: cut anywhere, and each part for itself.
std::vector<Token> tokenised_somehow(const std::string& text, std::mt19937& random) {
  std::vector<Token> tokens;
  for (std::size_t at = 0; at < text.size();) {
    if (random() % 12 == 0) tokens.push_back(*tokenizer().find("<think>"));
    const std::size_t length = 1 + random() % 12;
    const std::vector<Token> part = tokenizer().encode(text.substr(at, length));
    tokens.insert(tokens.end(), part.begin(), part.end());
    at += length;
  }
  return tokens;
}

TEST(Splice, TakesTheOldTokensAsFarAsTheTextIsTheSame) {
  const std::string text =
      "Ünïted we stand; <think> 12345 the quick brown fox jumps over the lazy dog, again and again.";
  std::mt19937 random(1);
  int longer = 0;
  for (int i = 0; i < 300; ++i) {
    std::string other = text;
    if (random() % 2 == 0) other[random() % other.size()] = 'x';
    if (random() % 4 == 0) other.resize(random() % other.size() + 1);
    Transcript before({.account = 3});
    for (const Token token : tokenised_somehow(text, random)) before.append(token, random() % 2 == 0);
    const std::vector<Token> prompt = tokenised_somehow(other, random);

    std::size_t same_old = 0, same_now = 0;
    for (std::size_t a = 0; a <= before.size(); ++a) {
      for (std::size_t b = 0; b <= prompt.size(); ++b) {
        if (spelled(before.tokens().first(a)) != spelled(std::span(prompt).first(b))) continue;
        same_old = a;
        same_now = b;
      }
    }
    const Transcript spliced = splice(before, prompt, tokenizer());
    ASSERT_EQ(spelled(spliced.tokens()), spelled(prompt));
    ASSERT_EQ(spliced.size(), same_old + prompt.size() - same_now);
    for (std::size_t at = 0; at < same_old; ++at) {
      ASSERT_EQ(spliced.tokens()[at], before.tokens()[at]);
      ASSERT_EQ(spliced.generated(at), before.generated(at));
    }
    for (std::size_t at = same_old; at < spliced.size(); ++at) ASSERT_FALSE(spliced.generated(at));
    EXPECT_EQ(spliced.salt().account, 3u);
    longer += same_old > 10 ? 1 : 0;
  }
  EXPECT_GT(longer, 20);
}

}  // namespace
}  // namespace engine
