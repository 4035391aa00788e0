// How far this program's logits and another program's are from float64: fidelity MODEL TOKENS f16|f32 OTHER_LOGITS
// TOKENS: a file of ids in decimal; OTHER_LOGITS: float32, a row of the vocabulary for each token. Prints JSON.
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "reference/ours.h"
#include "reference/reference.h"

namespace {

void print(const char* name, const reference::Distance& d) {
  std::printf("\"%s\":{\"mean_kl\":%.6g,\"relative_error\":%.6g,\"worst_of_range\":%.6g}", name, d.mean_kl,
              d.relative_error, d.worst_of_range);
}

std::vector<std::uint32_t> read_tokens(const char* path) {
  std::ifstream in(path);
  std::vector<std::uint32_t> tokens;
  for (std::uint32_t id; in >> id;) tokens.push_back(id);
  return tokens;
}

std::vector<float> read_floats(const char* path, std::size_t count) {
  std::vector<float> values(count);
  std::ifstream in(path, std::ios::binary);
  in.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(count * sizeof(float)));
  if (!in) throw std::runtime_error(std::string(path) + " is too short");
  return values;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 5) throw std::runtime_error("usage: fidelity MODEL TOKENS f16|f32 OTHER_LOGITS");
  const gguf::File file = gguf::File::open(argv[1]);
  const std::vector<std::uint32_t> tokens = read_tokens(argv[2]);
  const quant::Type kv = std::string(argv[3]) == "f32" ? quant::Type::F32 : quant::Type::F16;
  const reference::Rows exact = reference::logits(file, tokens);
  std::printf("{");
  print("ours", reference::distance(exact, reference::run_ours(file, tokens, {.kv = kv})));
  std::printf(",");
  print("other", reference::distance(exact, read_floats(argv[4], exact.data.size())));
  std::printf("}\n");
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "fidelity: %s\n", error.what());
  return 1;
}
