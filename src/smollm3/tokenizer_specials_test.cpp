#include "smollm3/tokenizer_specials.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "smollm3/tokenizer_test_vocabulary.h"

namespace smollm3 {
namespace {

struct Piece {
  std::size_t begin;
  std::string text;
  Token token;  // -1: text that is still to be searched
};

// llama.cpp's procedure: for each name, longest first, cut every piece of text at its occurrences.
std::vector<Piece> cut_by_each_name(const std::string& text, std::vector<std::pair<std::string, Token>> names) {
  std::stable_sort(names.begin(), names.end(),
                   [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
  std::vector<Piece> pieces{{0, text, -1}};
  for (const auto& [name, token] : names) {
    std::vector<Piece> cut;
    for (const Piece& piece : pieces) {
      std::size_t from = 0;
      for (std::size_t at; piece.token < 0 && (at = piece.text.find(name, from)) != std::string::npos;) {
        cut.push_back({piece.begin + from, piece.text.substr(from, at - from), -1});
        cut.push_back({piece.begin + at, name, token});
        from = at + name.size();
      }
      cut.push_back({piece.begin + from, piece.text.substr(from), piece.token});
    }
    pieces = std::move(cut);
  }
  std::erase_if(pieces, [](const Piece& piece) { return piece.token < 0; });
  return pieces;
}

TEST(SpecialNames, AreFoundAsByCuttingLongestFirst) {
  std::mt19937 random(1);
  const auto random_text = [&](std::size_t longest) {
    std::string text(1 + random() % longest, ' ');
    for (char& c : text) c = "<a>b"[random() % 4];
    return text;
  };
  int matches = 0;
  for (int round = 0; round < 300; ++round) {
    test::VocabularyFile file;
    std::set<std::string> taken;
    std::vector<std::pair<std::string, Token>> names;
    for (std::size_t i = 1 + random() % 8; i > 0; --i) {
      std::string name = random_text(6);
      if (name.size() < 2) continue;  // a single byte is a normal token
      name[0] = '<';
      if (!taken.insert(name).second) continue;
      static constexpr TokenKind kKinds[] = {TokenKind::Control, TokenKind::UserDefined, TokenKind::Unknown};
      names.emplace_back(name, file.add(name, kKinds[random() % 3]));
    }
    const Vocabulary vocabulary = Vocabulary::load(file.open());
    const SpecialNames specials(vocabulary, "test");
    for (int texts = 0; texts < 30; ++texts) {
      const std::string text = random_text(40);
      std::vector<SpecialMatch> found;
      specials.match(text, 0, text.size(), found);
      const std::vector<Piece> expected = cut_by_each_name(text, names);
      ASSERT_EQ(found.size(), expected.size()) << text;
      for (std::size_t i = 0; i < found.size(); ++i) {
        ASSERT_EQ(found[i].begin, expected[i].begin) << text;
        ASSERT_EQ(found[i].token, expected[i].token) << text;
        ASSERT_EQ(found[i].end - found[i].begin, expected[i].text.size()) << text;
      }
      matches += static_cast<int>(found.size());
    }
  }
  EXPECT_GT(matches, 1000);
}

TEST(SpecialNames, MatchOnlyWithinTheRange) {
  test::VocabularyFile file;
  const Token token = file.add("<x>", TokenKind::Control);
  const Vocabulary vocabulary = Vocabulary::load(file.open());
  const SpecialNames specials(vocabulary, "test");
  const std::string text = "<x><x><x>";
  for (std::size_t begin = 0; begin <= text.size(); ++begin) {
    for (std::size_t end = begin; end <= text.size(); ++end) {
      std::vector<SpecialMatch> found;
      specials.match(text, begin, end, found);
      std::size_t expected = 0;
      for (const std::size_t at : {0, 3, 6}) expected += begin <= at && at + 3 <= end ? 1 : 0;
      ASSERT_EQ(found.size(), expected);
      for (const SpecialMatch& match : found) ASSERT_EQ(match.token, token);
    }
  }
}

// "<<", "<<<", … in a text of nothing else would match everywhere, each of them: far more than the text has bytes.
TEST(SpecialNames, WithinOneAnotherAreRefusedWhereTheyCost) {
  test::VocabularyFile file;
  for (std::size_t length = 2; length < 100; ++length) file.add(std::string(length, '<'), TokenKind::Control);
  const Vocabulary vocabulary = Vocabulary::load(file.open());
  const SpecialNames specials(vocabulary, "test");
  std::vector<SpecialMatch> found;
  const std::string text(100'000, '<');
  EXPECT_THROW(specials.match(text, 0, text.size(), found), base::Error);
  specials.match(text, 0, 50, found);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].end, 50u);
}

TEST(SpecialNames, AreUnique) {
  for (const auto& [first, second] : {std::pair{"<x>", "<x>"}, std::pair{"<x>", "a"}}) {
    test::VocabularyFile file;
    file.add(first, TokenKind::Control);
    file.add(second, TokenKind::UserDefined);
    const Vocabulary vocabulary = Vocabulary::load(file.open());
    EXPECT_THROW(SpecialNames(vocabulary, "test"), base::Error);
  }
}

}  // namespace
}  // namespace smollm3
