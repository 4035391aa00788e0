// The text that the tokenizer is compared on, made anew each time from a seed: it is the same on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "smollm3/tokenizer.h"

namespace corpus {

// Texts that are tokenized one by one; one line of golden.txt.
struct Chunk {
  std::string name;
  std::vector<std::string> texts;
  bool special = false;  // whether names of special tokens are recognised in the texts

  std::size_t bytes() const;
};

// All chunks for a vocabulary: about 40 MB of valid UTF-8.
//  alone-…    each code point as a text of its own
//  between-…  each code point between letters, and those of the planes in use also beside spaces, digits, apostrophes,
//             newlines and itself
//  sample-…   samples.txt shuffled, cut, repeated and changed in case
//  scripts-…  random words of each script, with marks and joiners
//  runs-…     runs of spaces, newlines, digits and signs between short words
//  tokens-…   the vocabulary's tokens in random order
//  special-…  samples with names of special tokens, whole and in parts, to be recognised
std::vector<Chunk> make_chunks(const smollm3::Tokenizer& tokenizer);

// FNV-1a over the ids of a chunk's texts, each text closed by 0xFFFFFFFF.
class IdHash {
 public:
  void add(const std::vector<smollm3::Token>& ids);
  std::uint64_t value() const { return hash_; }

 private:
  void add(std::uint32_t value);
  std::uint64_t hash_ = 0xCBF29CE484222325u;
};

// The vocabulary under both `pre` values: the file's bytes with tokenizer.ggml.pre replaced. `pre` has nine letters
// in both cases, so nothing else in the file changes.
std::string read_vocabulary(const std::string& path, std::string_view pre);

}  // namespace corpus
