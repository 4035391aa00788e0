// For tests: engines on the demo model, which answers at once, and on one that never comes to an end.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "engine/engine.h"
#include "gguf/gguf.h"

namespace server {

inline std::filesystem::path demo_model() {
  const char* moved = std::getenv("SMOLLM3_SOURCE_DIR");
  return std::filesystem::path(moved != nullptr ? moved : SMOLLM3_SOURCE_DIR) / "models/demo.gguf";
}

// The demo model without the tokens that end its thinking and its answers: it talks until the context is full.
inline std::filesystem::path endless_model() {
  static const std::filesystem::path file = [] {
    std::ifstream in(demo_model(), std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(in), {}};
    for (const char* name : {"<|im_end|>", "<|end_of_text|>", "tokenizer.ggml.eos_token_id", "</think>"}) {
      const std::size_t at = bytes.find(name);
      if (at != std::string::npos) bytes.replace(at + 2, 3, "xxx");
    }
    const auto path =
        std::filesystem::temp_directory_path() / ("smollm3-endless-" + std::to_string(getpid()) + ".gguf");
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }();
  return file;
}

// The demo model under another name: what it writes is taken for what a large one does.
inline std::filesystem::path renamed_model() {
  static const std::filesystem::path file = [] {
    std::ifstream in(demo_model(), std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(in), {}};
    bytes.replace(bytes.find("SmolLM3 demo") + 8, 4, "test");
    const auto path = std::filesystem::temp_directory_path() / ("smollm3-test-" + std::to_string(getpid()) + ".gguf");
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }();
  return file;
}

// All share the space of one context, so that many have to wait.
inline std::unique_ptr<engine::Engine> make_engine(const std::filesystem::path& model, std::uint32_t context = 4096,
                                                   std::size_t most_waiting = 256) {
  return std::make_unique<engine::Engine>(gguf::File::open(model), engine::Options{.device = compute::DeviceKind::Cpu,
                                                                                   .threads = 2,
                                                                                   .context = context,
                                                                                   .conversations = 1,
                                                                                   .most_waiting = most_waiting});
}

}  // namespace server
