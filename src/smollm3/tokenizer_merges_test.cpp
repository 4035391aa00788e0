#include "smollm3/tokenizer_merges.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "smollm3/tokenizer_test_vocabulary.h"

namespace smollm3 {
namespace {

// The definition: again and again the leftmost of the pairs of lowest rank, found by looking at all of them.
std::vector<std::string> merged_by_definition(const std::string& word,
                                              const std::map<std::pair<std::string, std::string>, int>& ranks) {
  std::vector<std::string> symbols;
  for (const char c : word) symbols.emplace_back(1, c);
  for (;;) {
    std::size_t best = symbols.size();
    int lowest = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = ranks.find({symbols[i], symbols[i + 1]});
      if (found == ranks.end() || (best < symbols.size() && found->second >= lowest)) continue;
      best = i;
      lowest = found->second;
    }
    if (best == symbols.size()) return symbols;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

// Merges of random pairs of random tokens, in random order: also such whose result is used before it is made.
struct RandomMerges {
  test::VocabularyFile file;
  std::map<std::pair<std::string, std::string>, int> ranks;

  RandomMerges(std::mt19937& random, const std::string& letters, std::size_t count) {
    std::vector<std::string> made;
    for (const char c : letters) made.emplace_back(1, c);
    std::vector<std::pair<std::string, std::string>> pairs;
    while (pairs.size() < count) {
      const std::pair pair{made[random() % made.size()], made[random() % made.size()]};
      if (pair.first.size() + pair.second.size() > 40) continue;
      if (!ranks.emplace(pair, 0).second) continue;
      pairs.push_back(pair);
      made.push_back(pair.first + pair.second);
    }
    std::vector<std::size_t> order(count);
    for (std::size_t i = 0; i < count; ++i) order[i] = i;
    for (std::size_t swaps = random() % 2 == 0 ? 0 : count; swaps > 0; --swaps) {
      std::swap(order[random() % count], order[random() % count]);
    }
    for (std::size_t rank = 0; rank < count; ++rank) {
      const auto& [left, right] = pairs[order[rank]];
      ranks[{left, right}] = static_cast<int>(rank);
      file.merge(left, right);
    }
  }
};

TEST(Merges, AreThoseOfTheDefinitionWhateverTheLength) {
  std::mt19937 random(1);
  for (int round = 0; round < 80; ++round) {
    const std::string letters = std::string("abcdefgh").substr(0, 1 + random() % 8);
    const RandomMerges vocabulary(random, letters, 1 + random() % 60);
    const gguf::File file = vocabulary.file.open();
    const Vocabulary tokens = Vocabulary::load(file);
    const Merges merges = tokens.load_merges(file);
    Merges::Scratch scratch;
    for (const std::size_t length : {1, 2, 3, 7, 31, 32, 33, 100, 1023, 1025, 2300}) {
      std::string word;
      const std::size_t period = random() % 3 == 0 ? 1 + random() % 5 : length;  // some repeat themselves
      while (word.size() < length) {
        word += word.size() < period ? letters[random() % letters.size()] : word[word.size() - period];
      }
      std::vector<Token> ids;
      merges.apply(word, scratch, ids);
      std::vector<std::string> symbols;
      for (const Token id : ids) symbols.emplace_back(tokens.bytes(id));
      ASSERT_EQ(symbols, merged_by_definition(word, vocabulary.ranks)) << word;
    }
  }
}

// Pairs of ever lower rank from left to right: the last letter decides which pairs merge, back to the first.
TEST(Merges, ReachBackAsFarAsASeamNeeds) {
  test::VocabularyFile file;
  std::map<std::pair<std::string, std::string>, int> ranks;
  std::string word;
  for (int i = 0; i < 250; ++i) word += static_cast<char>(i);
  for (std::size_t i = word.size() - 1; i > 0; --i) {
    ranks[{word.substr(i - 1, 1), word.substr(i, 1)}] = static_cast<int>(ranks.size());
    file.merge(word.substr(i - 1, 1), word.substr(i, 1));
  }
  const gguf::File opened = file.open();
  const Vocabulary tokens = Vocabulary::load(opened);
  const Merges merges = tokens.load_merges(opened);
  Merges::Scratch scratch;
  // Blocks end after 1,024 bytes, so within the word, once after an even and once after an odd number of its letters.
  for (const std::size_t before : {899, 900}) {
    const std::string text = std::string(before, '\xFF') + word;
    std::vector<Token> ids;
    merges.apply(text, scratch, ids);
    std::vector<std::string> symbols;
    for (const Token id : ids) symbols.emplace_back(tokens.bytes(id));
    EXPECT_EQ(symbols, merged_by_definition(text, ranks));
  }
}

}  // namespace
}  // namespace smollm3
