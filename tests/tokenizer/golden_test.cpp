// The ids of all chunks against golden.txt, which compare.mjs wrote from llama.cpp's ids; and what must hold for the
// real vocabulary on any text. Needs llama-bpe-vocab.gguf in $SMOLLM3_SHARED/data or ../shared/data.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <span>
#include <string>

#include "smollm3/tokenizer.h"
#include "tokenizer/corpus.h"

namespace {

using smollm3::Token;
using smollm3::Tokenizer;

std::string vocabulary_path() {
  const char* shared = std::getenv("SMOLLM3_SHARED");
  return std::string(shared ? shared : SMOLLM3_SOURCE_DIR "/../shared") + "/data/llama-bpe-vocab.gguf";
}

class RealVocabulary : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(vocabulary_path())) GTEST_SKIP() << vocabulary_path() << " is not there";
  }

  static Tokenizer load(std::string_view pre) {
    const std::string bytes = corpus::read_vocabulary(vocabulary_path(), pre);
    return Tokenizer::load(gguf::File::parse(std::as_bytes(std::span(bytes)), "vocabulary"));
  }
};

std::uint64_t hash_of(const Tokenizer& tokenizer, const corpus::Chunk& chunk) {
  corpus::IdHash hash;
  for (const std::string& text : chunk.texts) hash.add(tokenizer.encode(text, chunk.special));
  return hash.value();
}

TEST_F(RealVocabulary, GivesLlamaCppsIds) {
  const Tokenizer smaug = load("smaug-bpe");
  const Tokenizer llama = load("llama-bpe");
  std::ifstream golden(SMOLLM3_SOURCE_DIR "/tests/tokenizer/golden.txt");
  std::size_t bytes = 0;
  for (const corpus::Chunk& chunk : corpus::make_chunks(smaug)) {
    std::string name;
    std::uint64_t expected_smaug = 0;
    std::uint64_t expected_llama = 0;
    ASSERT_TRUE(golden >> name >> std::hex >> expected_smaug >> expected_llama);
    ASSERT_EQ(chunk.name, name);
    EXPECT_EQ(hash_of(smaug, chunk), expected_smaug) << name << " under smaug-bpe";
    EXPECT_EQ(hash_of(llama, chunk), expected_llama) << name << " under llama-bpe";
    bytes += chunk.bytes();
  }
  EXPECT_FALSE(golden >> std::ws && golden.peek() != EOF) << "golden.txt has more chunks than there are";
  EXPECT_GT(bytes, 20'000'000u);
}

TEST_F(RealVocabulary, GivesBackAnyBytesAndNoSpecialToken) {
  const Tokenizer smaug = load("smaug-bpe"), llama = load("llama-bpe");
  std::mt19937 random(1);
  for (std::size_t round = 0; round < 600; ++round) {
    const Tokenizer& tokenizer = round % 4 < 2 ? smaug : llama;
    std::string text(random() % 5000, '\0');
    for (char& c : text) c = static_cast<char>(random() % (round % 2 == 0 ? 256 : 1 + random() % 255));
    for (std::size_t names = random() % 4; names > 0; --names) {
      text.insert(random() % (text.size() + 1), tokenizer.bytes(static_cast<Token>(128000 + random() % 256)));
    }
    const std::vector<Token> tokens = tokenizer.encode(text);
    ASSERT_EQ(tokenizer.decode(tokens), text);
    for (const Token token : tokens) ASSERT_FALSE(tokenizer.is_special(token));
  }
}

TEST_F(RealVocabulary, MakesEveryNormalTokenOfItsOwnBytesUnderLlamaBpe) {
  const Tokenizer tokenizer = load("llama-bpe");
  int single_words = 0;
  for (Token token = 0; token < 128000; ++token) {
    const std::vector<Token> tokens = tokenizer.encode(tokenizer.bytes(token));
    ASSERT_EQ(tokenizer.decode(tokens), tokenizer.bytes(token));
    if (tokens.size() > 1) continue;  // it is more than one word
    ++single_words;
    ASSERT_EQ(tokens[0], token);
  }
  EXPECT_GT(single_words, 126000);
}

}  // namespace
