// Characters as the tokenizer's word rule sees them.
#pragma once

#include <cstdint>
#include <span>

namespace smollm3 {

// \p{L}, \p{N} and \s of the word rule, in Unicode 15.1; every code point is in one of the four.
enum class CharClass : std::uint8_t { Other, Letter, Number, Space };

CharClass char_class(char32_t code_point);

// The classes as runs of code points, ascending: each value is the first code point of a run << 2 | its class.
std::span<const std::uint32_t> char_class_runs();

}  // namespace smollm3
