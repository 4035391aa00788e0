// Writes the files whose logits a peer gives, llama_cpp or transformers: golden_models PEER FOLDER
// NAME.gguf and NAME.tokens; prints a line for each: its name, the file's fingerprint and the positions to keep.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "reference/golden.h"

int main(int argc, char** argv) try {
  if (argc != 3) throw std::runtime_error("usage: golden_models PEER FOLDER");
  const std::string peer = argv[1];
  const std::filesystem::path folder = argv[2];
  for (const reference::GoldenModel& model : reference::golden_models()) {
    if (model.peer != peer) continue;
    const std::filesystem::path file = folder / (std::string(model.name) + ".gguf");
    reference::write_model(model.shape, file);
    std::ofstream tokens(folder / (std::string(model.name) + ".tokens"));
    for (const std::uint32_t token : reference::golden_tokens(model)) tokens << token << ' ';
    std::printf("%s %s", model.name, reference::fingerprint(file).c_str());
    for (const std::size_t position : reference::golden_positions()) std::printf(" %zu", position);
    std::printf("\n");
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "golden_models: %s\n", error.what());
  return 1;
}
