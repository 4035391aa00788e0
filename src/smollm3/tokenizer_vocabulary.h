// The tokens of a GGUF file's vocabulary: their bytes, their kinds, and the way from bytes to a token.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"
#include "smollm3/tokenizer.h"
#include "smollm3/tokenizer_merges.h"

namespace smollm3 {

// The numbers of `tokenizer.ggml.token_type`.
enum class TokenKind : std::uint8_t { Normal = 1, Unknown = 2, Control = 3, UserDefined = 4, Unused = 5, Byte = 6 };

class Vocabulary {
 public:
  // Reads tokens and token types. Throws base::Error naming what does not fit.
  static Vocabulary load(const gguf::File& file);

  std::size_t size() const { return kinds_.size(); }
  TokenKind kind(Token token) const { return kinds_[static_cast<std::size_t>(token)]; }
  std::string_view bytes(Token token) const {
    const auto i = static_cast<std::size_t>(token);
    return std::string_view(text_).substr(begins_[i], begins_[i + 1] - begins_[i]);
  }
  std::size_t longest() const { return longest_; }  // bytes of the longest normal token

  // The normal token that stands for exactly these bytes; -1 if there is none.
  Token find(std::string_view bytes) const;
  const std::array<Token, 256>& byte_tokens() const { return byte_tokens_; }

  // The file's merges over these tokens.
  Merges load_merges(const gguf::File& file) const;

 private:
  // A slot of an open-addressing table over the normal tokens' bytes.
  struct Slot {
    std::uint32_t tag = 0;  // high half of the hash
    Token token = -1;
  };

  void index(const std::string& file);
  Token find(std::string_view bytes, std::uint64_t hash) const;

  std::string text_;                   // all tokens' bytes, one after another
  std::vector<std::uint32_t> begins_;  // of token i in text_; one more entry than tokens
  std::vector<TokenKind> kinds_;
  std::size_t longest_ = 0;
  std::vector<Slot> slots_;
  std::array<Token, 256> byte_tokens_{};
};

}  // namespace smollm3
