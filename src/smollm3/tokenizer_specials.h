// Where names of special tokens stand in a text.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "smollm3/tokenizer_vocabulary.h"

namespace smollm3 {

// A special token's name at text[begin, end).
struct SpecialMatch {
  std::size_t begin;
  std::size_t end;
  Token token;
};

class SpecialNames {
 public:
  SpecialNames() = default;
  // The control, user-defined and unknown tokens of the vocabulary, which must outlive this. Throws base::Error if two
  // have one name, or a name is a normal token as well; `file` is for that message.
  SpecialNames(const Vocabulary& vocabulary, const std::string& file);

  Token find(std::string_view name) const;  // -1 if there is none

  // Appends the matches in text[begin, end), ascending and without overlap. Where names overlap the longer one wins
  // wherever it stands, then the one with the lower id, then the one further left; llama.cpp does the same. Throws
  // base::Error if names within one another make that cost too much.
  void match(std::string_view text, std::size_t begin, std::size_t end, std::vector<SpecialMatch>& out) const;

 private:
  struct Name {
    std::string_view text;
    Token token;
  };

  void all_matches(std::string_view text, std::size_t begin, std::size_t end, std::vector<SpecialMatch>& out) const;

  std::vector<Name> names_;                // by text
  std::array<bool, 256> starts_a_name_{};  // by first byte
};

}  // namespace smollm3
