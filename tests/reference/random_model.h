// Small SmolLM3 files with random weights, written for a test: any shape, any mix of types.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>

#include "gguf/gguf.h"
#include "gguf/writer.h"
#include "reference/decode.h"

namespace reference {

struct RandomModel {
  std::uint32_t layers = 5;  // one of them, the fourth, without RoPE
  std::uint32_t hidden = 256;
  std::uint32_t ffn = 512;
  std::uint32_t heads = 4;
  std::uint32_t kv_heads = 1;
  std::uint32_t head_size = 0;  // hidden / heads unless given
  std::uint32_t vocab = 1000;
  bool tied = true;       // the embedding serves as the output head
  float yarn_factor = 1;  // in the file's metadata, over yarn_context positions
  std::uint32_t yarn_context = 65536;
  // One channel in a hundred of the residual stream fifty times larger than the others.
  bool outliers = false;
  // Weights of block types: normally distributed and encoded by the program, or any valid blocks of about that spread,
  // as those of types that the program does not encode always are.
  bool any_blocks = false;
  std::function<Type(std::string_view tensor)> type = [](std::string_view) { return Type::F32; };
  // Adds the metadata of a tokenizer with `vocab` tokens; by default there is none.
  std::function<void(gguf::Writer&)> tokenizer = [](gguf::Writer& out) {
    out.add("tokenizer.ggml.model", "none");  // llama.cpp wants to be told
  };
  std::uint64_t seed = 1;
};

// The types llama.cpp's Q4_K_M gives: Q6_K for the embedding and for attn_v and ffn_down of about half of the layers.
Type q4_k_m(std::string_view tensor, std::uint32_t layers);

void write_model(const RandomModel& model, const std::filesystem::path& path);

// A file of its own in the system's folder for temporary files; gone when the object is.
class TemporaryModel {
 public:
  explicit TemporaryModel(const RandomModel& model);
  ~TemporaryModel();
  TemporaryModel(const TemporaryModel&) = delete;
  TemporaryModel& operator=(const TemporaryModel&) = delete;

  const std::filesystem::path& path() const { return path_; }
  const gguf::File& file() const { return file_; }

 private:
  std::filesystem::path path_;
  gguf::File file_;
};

}  // namespace reference
