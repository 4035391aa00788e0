// The files whose logits another program gave once: llama.cpp, or Hugging Face's transformers. golden_llama_cpp.txt and
// golden_transformers.txt, which tests/peers/golden.py and transformers_golden.py write, and golden_test.cpp reads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <span>
#include <string>
#include <vector>

#include "reference/random_model.h"

namespace reference {

struct GoldenModel {
  const char* peer;  // whose logits: llama_cpp or transformers
  const char* name;
  RandomModel shape;
};
void PrintTo(const GoldenModel& model, std::ostream* out);
// The models of each peer stand together, as they do in its file.
std::span<const GoldenModel> golden_models();

// One prompt over five pages of 64 positions; the logits of some of them are kept: beside the edges of pages, and
// between.
std::vector<std::uint32_t> golden_tokens(const GoldenModel& model);
std::span<const std::size_t> golden_positions();

// FNV-1a of the file's bytes, in hexadecimal.
std::string fingerprint(const std::filesystem::path& file);

}  // namespace reference
