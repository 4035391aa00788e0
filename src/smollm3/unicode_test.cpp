#include "smollm3/unicode.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace smollm3 {
namespace {

using namespace std::string_view_literals;
using Form = Utf8Char::Form;

TEST(CharClass, KnowsUnicode15) {
  for (const char32_t letter : U"aZªµéßſΩжאبक一ひ가𐌰𝔘𞤀\U0002EBF0\U000323AF"sv) {
    EXPECT_EQ(char_class(letter), CharClass::Letter) << std::hex << std::uint32_t{letter};
  }
  for (const char32_t number : U"09²½Ⅳ٣१〇㊿𝟘𞥐"sv) {
    EXPECT_EQ(char_class(number), CharClass::Number) << std::hex << std::uint32_t{number};
  }
  for (const char32_t other : U"!_́🙂€￿\u200B\u200D\u180E\uFEFF\U000323B0\U0010FFFF"sv) {
    EXPECT_EQ(char_class(other), CharClass::Other) << std::hex << std::uint32_t{other};
  }
}

TEST(CharClass, SpacesAreThose25) {
  std::u32string spaces;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (char_class(c) == CharClass::Space) spaces += c;
  }
  EXPECT_EQ(spaces,
            std::u32string(U"\t\n\v\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
                           U"\u2009\u200A\u2028\u2029\u202F\u205F\u3000"));
}

std::string encoded(std::uint32_t c) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | ((c >> shift) & 0x3F)); };
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) return {static_cast<char>(0xC0 | c >> 6), tail(0)};
  if (c < 0x10000) return {static_cast<char>(0xE0 | c >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | c >> 18), tail(12), tail(6), tail(0)};
}

TEST(DecodeUtf8, TakesEveryCodePointWholeAndNothingElse) {
  for (std::uint32_t c = 0; c < 0x120000; ++c) {
    const bool valid = c < 0x110000 && (c < 0xD800 || c > 0xDFFF);
    const Utf8Char decoded = decode_utf8(encoded(c) + "x");
    ASSERT_EQ(decoded.form == Form::Valid, valid) << std::hex << c;
    if (!valid) continue;
    ASSERT_EQ(std::uint32_t{decoded.code_point}, c);
    ASSERT_EQ(decoded.length, encoded(c).size());
    for (std::size_t cut = 1; cut < encoded(c).size(); ++cut) {
      const Utf8Char start = decode_utf8(encoded(c).substr(0, cut));
      ASSERT_EQ(start.form, Form::Incomplete) << std::hex << c;
      ASSERT_EQ(start.length, cut);
      const Utf8Char broken = decode_utf8(encoded(c).substr(0, cut) + "x");
      ASSERT_EQ(broken.form, Form::Invalid) << std::hex << c;
      ASSERT_EQ(broken.length, cut);
    }
  }
}

TEST(DecodeUtf8, RefusesOverlongFormsAtTheirFirstByte) {
  for (const char* text :
       {"\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF", "\xED\xA0\x80",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80", "\xBF", "\xFF"}) {
    EXPECT_EQ(decode_utf8(text).form, Form::Invalid);
    EXPECT_EQ(decode_utf8(text).length, 1);
  }
}

}  // namespace
}  // namespace smollm3
