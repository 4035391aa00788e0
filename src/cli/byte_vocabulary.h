// A vocabulary for models that have none to copy: the 256 bytes, made-up words that no text ever becomes, and SmolLM3's
// special tokens where the real vocabulary has them, counted from its end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cli {

struct Vocabulary {
  std::vector<std::string> tokens;  // as GGUF has them: bytes written as GPT-2's printable characters
  std::vector<std::int32_t> kinds;  // tokenizer.ggml.token_type
};

inline constexpr std::size_t special_tokens = 256;  // at the end of the vocabulary

// size: at least 512.
Vocabulary byte_vocabulary(std::size_t size);

// Names SmolLM3's special tokens in a vocabulary whose last 256 are special; false if it is too small for that.
bool name_special_tokens(Vocabulary& vocabulary);

// The ids of tokens in a vocabulary of `size`.
inline std::uint32_t begin_of_text(std::size_t size) { return static_cast<std::uint32_t>(size - special_tokens); }
inline std::uint32_t padding_token(std::size_t size) { return begin_of_text(size) + 4; }
inline std::uint32_t im_end(std::size_t size) { return begin_of_text(size) + 12; }

}  // namespace cli
