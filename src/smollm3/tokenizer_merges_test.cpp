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

// Ranks by the bytes of both parts.
using Ranks = std::map<std::pair<std::string, std::string>, int>;

// The definition: again and again the leftmost of the pairs of lowest rank, found by looking at all of them.
std::vector<std::string> merged_by_definition(const std::string& word, const Ranks& ranks) {
  struct Symbol {
    std::string bytes;
    int rank;  // of the pair with the next symbol; -1 if there is none
  };
  std::vector<Symbol> symbols;
  const auto update = [&](std::size_t i) {
    const auto found = i + 1 < symbols.size() ? ranks.find({symbols[i].bytes, symbols[i + 1].bytes}) : ranks.end();
    symbols[i].rank = found == ranks.end() ? -1 : found->second;
  };
  for (const char c : word) symbols.push_back({std::string(1, c), -1});
  for (std::size_t i = 0; i < symbols.size(); ++i) update(i);
  for (;;) {
    std::size_t best = symbols.size();
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      if (symbols[i].rank >= 0 && (best == symbols.size() || symbols[i].rank < symbols[best].rank)) best = i;
    }
    if (best == symbols.size()) break;
    symbols[best].bytes += symbols[best + 1].bytes;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    update(best);
    if (best > 0) update(best - 1);
  }
  std::vector<std::string> result;
  for (const Symbol& symbol : symbols) result.push_back(symbol.bytes);
  return result;
}

// Merges of random pairs of random tokens, in random order: also such whose result is used before it is made.
struct RandomMerges {
  test::VocabularyFile file;
  Ranks ranks;

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
  Ranks ranks;
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
