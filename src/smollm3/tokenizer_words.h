// The word rule of Llama-3's tokenizers: tokens never span two words. As a regular expression, tried in this order:
//
//   (?i:'s|'t|'re|'ve|'m|'ll|'d) | [^\r\n\p{L}\p{N}]?\p{L}+ | \p{N}{1,3} | ?[^\s\p{L}\p{N}]+[\r\n]* | \s*[\r\n]+
//   | \s+(?!\S) | \s+
//
// A byte that is not part of a well-formed UTF-8 character counts as a character of class Other.
#pragma once

#include <cstddef>
#include <string_view>

namespace smollm3 {

// The end of the word that starts at `begin`; begin < text.size(). Any number of calls that walk a text take time
// linear in its length.
std::size_t word_end(std::string_view text, std::size_t begin);

}  // namespace smollm3
