#include "smollm3/tokenizer_words.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <regex>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "smollm3/unicode.h"

namespace smollm3 {
namespace {

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> result;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = word_end(text, begin);
    result.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  return result;
}

// The rule as a regular expression over one ASCII stand-in per character: letters of contractions as themselves, other
// letters as x, numbers as 0, spaces as themselves or a tab, apostrophes as themselves, all else as !.
std::vector<std::string> words_by_regex(const std::vector<std::string>& characters) {
  static const std::regex rule(
      "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\\r\\nA-Za-z0-9]?[A-Za-z]+|[0-9]{1,3}"
      "| ?[^ \\t\\r\\nA-Za-z0-9]+[\\r\\n]*|[ \\t\\r\\n]*[\\r\\n]+|[ \\t\\r\\n]+(?![^ \\t\\r\\n])|[ \\t\\r\\n]+",
      std::regex::ECMAScript);
  std::string stand_ins;
  for (const std::string& c : characters) {
    const base::utf8::Char decoded = base::utf8::decode(c);
    const CharClass kind = decoded.valid() ? char_class(decoded.code_point) : CharClass::Other;
    const bool itself = c.size() == 1 && std::string_view("'sStTrReEvVmMlLdD \r\n").find(c) != std::string_view::npos;
    stand_ins += itself                      ? c[0]
                 : kind == CharClass::Letter ? 'x'
                 : kind == CharClass::Number ? '0'
                 : kind == CharClass::Space  ? '\t'
                                             : '!';
  }
  std::vector<std::string> result;
  std::size_t at = 0;
  for (auto match = std::sregex_iterator(stand_ins.begin(), stand_ins.end(), rule); match != std::sregex_iterator();
       ++match) {
    result.emplace_back();
    for (std::ptrdiff_t i = 0; i < match->length(); ++i) result.back() += characters[at++];
  }
  return result;
}

TEST(WordEnd, AgreesWithTheRegularExpression) {
  static constexpr std::array<const char*, 44> kCharacters = {
      "'",      "'",      "'",          "s", "S", "t",    "r",      "E",      "e",    "v",    "l",
      "L",      "m",      "d",          "x", "Q", "é",    "ж",      "一",     "ſ",    "0",    "7",
      "½",      "٣",      "\U0001D7D8", " ", " ", " ",    "\t",     "\n",     "\n",   "\r",   "\u0085",
      "\u00A0", "\u3000", "!",          "_", "-", "🙂", "\u0301", "\u180E", "\xFF", "\x80", "\xC0"};
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::string> characters(1 + random() % 12);
    std::string text;
    for (std::string& c : characters) text += c = kCharacters[random() % kCharacters.size()];
    ASSERT_EQ(words(text), words_by_regex(characters)) << text;
  }
}

TEST(WordEnd, TakesEachByteOutsideUtf8AsACharacterOfItsOwn) {
  using List = std::vector<std::string>;
  EXPECT_EQ(words("ab\xE2\x82"), (List{"ab", "\xE2\x82"}));
  EXPECT_EQ(words("\xE2\x82xy"), (List{"\xE2\x82", "xy"}));
  EXPECT_EQ(words("\xFFxy"), (List{"\xFFxy"}));
  EXPECT_EQ(words(" \xFF\n"), (List{" \xFF\n"}));
}

}  // namespace
}  // namespace smollm3
