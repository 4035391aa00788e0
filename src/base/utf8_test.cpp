#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace base::utf8 {
namespace {

using Form = Char::Form;

std::string encoded(char32_t c) {
  std::string text;
  append(text, c);
  return text;
}

TEST(Utf8, TakesEveryCodePointWholeAndNothingElse) {
  for (std::uint32_t c = 0; c < 0x120000; ++c) {
    const bool valid = c < 0x110000 && (c < 0xD800 || c > 0xDFFF);
    const std::string bytes = encoded(c);
    const Char decoded = decode(bytes + "x");
    ASSERT_EQ(decoded.valid(), valid) << std::hex << c;
    if (!valid) continue;
    ASSERT_EQ(std::uint32_t{decoded.code_point}, c);
    ASSERT_EQ(decoded.length, bytes.size());
    for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
      const Char start = decode(bytes.substr(0, cut));
      ASSERT_EQ(start.form, Form::Incomplete) << std::hex << c;
      ASSERT_EQ(start.length, cut);
      const Char broken = decode(bytes.substr(0, cut) + "x");
      ASSERT_EQ(broken.form, Form::Invalid) << std::hex << c;
      ASSERT_EQ(broken.length, cut);
    }
  }
}

TEST(Utf8, WritesCharactersAsTheyAre) {
  EXPECT_EQ(encoded(U'\0'), std::string_view("\0", 1));
  EXPECT_EQ(encoded(U'A'), "A");
  EXPECT_EQ(encoded(U'é'), "\xC3\xA9");
  EXPECT_EQ(encoded(U'€'), "\xE2\x82\xAC");
  EXPECT_EQ(encoded(U'😀'), "\xF0\x9F\x98\x80");
  EXPECT_EQ(encoded(0xFFFD), replacement);
}

TEST(Utf8, RefusesOverlongFormsAtTheirFirstByte) {
  for (const char* text :
       {"\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF", "\xED\xA0\x80",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80", "\xBF", "\xFF"}) {
    EXPECT_EQ(decode(text).form, Form::Invalid);
    EXPECT_EQ(decode(text).length, 1);
    EXPECT_FALSE(is_valid(text));
  }
}

TEST(Utf8, CountsCharacters) {
  EXPECT_EQ(count(""), 0u);
  EXPECT_EQ(count("aé€😀"), 4u);
  EXPECT_EQ(count("a\xE2\x82z"), 4u);
  EXPECT_TRUE(is_valid("aé€😀"));
  EXPECT_TRUE(is_valid(""));
  EXPECT_FALSE(is_valid("aé€\xF0\x9F\x98"));
}

TEST(Utf8, CutsBetweenCharacters) {
  const std::string_view text = "é€😀";  // 2, 3 and 4 bytes
  for (std::size_t most = 0; most < 12; ++most) {
    EXPECT_EQ(cut(text, most), most >= 9 ? 9u : most >= 5 ? 5u : most >= 2 ? 2u : 0u) << most;
  }
  EXPECT_EQ(cut("\x80\x80\x80\x80\x80\x80", 5), 5u);  // within none
}

TEST(Utf8, KnowsWhetherTheLastCharacterIsComplete) {
  const std::string_view text = "é€😀";
  EXPECT_EQ(complete(""), 0u);
  for (std::size_t size = 1; size <= text.size(); ++size) {
    EXPECT_EQ(complete(text.substr(0, size)), cut(text, size)) << size;
  }
  EXPECT_EQ(complete("a\x80\x80\x80\x80"), 5u);
  EXPECT_EQ(complete("a\xFF"), 2u);
  EXPECT_EQ(complete("a\xC0"), 2u);  // begins no character
}

TEST(Utf8, FindsWhereTheLastCharacterStarts) {
  EXPECT_EQ(last_start("a"), 0u);
  EXPECT_EQ(last_start("aé"), 1u);
  EXPECT_EQ(last_start("a€"), 1u);
  EXPECT_EQ(last_start("a😀"), 1u);
  EXPECT_EQ(last_start("é\x80"), 2u);
  EXPECT_EQ(last_start("a\xE2\x82"), 2u);
  EXPECT_EQ(last_start("\x80\x80\x80\x80\x80"), 4u);
}

TEST(Utf8, TakesWhatIsCertain) {
  std::string held = "a\xC3";
  EXPECT_EQ(take_certain(held), "a");
  EXPECT_EQ(held, "\xC3");
  held += "\xA9";
  EXPECT_EQ(take_certain(held), "é");
  EXPECT_EQ(held, "");
  // The example of the Unicode Standard, section 3.9.
  held = "\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64";
  EXPECT_EQ(take_certain(held), "a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd");
}

}  // namespace
}  // namespace base::utf8
