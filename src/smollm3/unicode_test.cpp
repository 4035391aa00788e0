#include "smollm3/unicode.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace smollm3 {
namespace {

using namespace std::string_view_literals;

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

}  // namespace
}  // namespace smollm3
