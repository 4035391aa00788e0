// quant::decode beside ggml's own decoders, bit for bit, on random blocks of every type that runs: decode LIBGGML_BASE
// Bits of the blocks are all random, so that scales may be infinite, NaN or subnormal; any NaN equals any other.
#include <dlfcn.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "quant/decode.h"

namespace {

using Decoder = void (*)(const void* blocks, float* out, std::int64_t elements);

struct Format {
  quant::Type type;
  const char* function;
};

constexpr Format formats[] = {
    {quant::Type::F16, "ggml_fp16_to_fp32_row"}, {quant::Type::BF16, "ggml_bf16_to_fp32_row"},
    {quant::Type::Q8_0, "dequantize_row_q8_0"},  {quant::Type::Q4_0, "dequantize_row_q4_0"},
    {quant::Type::Q4_1, "dequantize_row_q4_1"},  {quant::Type::Q5_0, "dequantize_row_q5_0"},
    {quant::Type::Q5_1, "dequantize_row_q5_1"},  {quant::Type::IQ4_NL, "dequantize_row_iq4_nl"},
    {quant::Type::Q2_K, "dequantize_row_q2_K"},  {quant::Type::Q3_K, "dequantize_row_q3_K"},
    {quant::Type::Q4_K, "dequantize_row_q4_K"},  {quant::Type::Q5_K, "dequantize_row_q5_K"},
    {quant::Type::Q6_K, "dequantize_row_q6_K"},  {quant::Type::IQ4_XS, "dequantize_row_iq4_xs"},
};

bool equal(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) || std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

// How many of `elements` random weights differ.
std::size_t differences(quant::Type type, Decoder theirs, std::size_t elements) {
  const quant::TypeInfo info = quant::type_info(type).value();
  std::vector<std::byte> row(elements / info.block * info.block_bytes);
  std::mt19937 random(1);
  for (std::byte& b : row) b = static_cast<std::byte>(random());
  std::vector<float> got(elements);
  std::vector<float> expected(elements);
  quant::decode(type, row, got);
  theirs(row.data(), expected.data(), static_cast<std::int64_t>(elements));
  std::size_t count = 0;
  for (std::size_t i = 0; i < elements; ++i) count += equal(got[i], expected[i]) ? 0 : 1;
  return count;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) throw std::runtime_error("usage: decode LIBGGML_BASE");
  void* library = dlopen(argv[1], RTLD_NOW);
  if (library == nullptr) throw std::runtime_error(dlerror());
  constexpr std::size_t elements = std::size_t{1} << 20;
  std::size_t total = 0;
  for (const auto& [type, function] : formats) {
    const auto theirs = reinterpret_cast<Decoder>(dlsym(library, function));
    if (theirs == nullptr) throw std::runtime_error(std::string(argv[1]) + " has no " + function);
    const std::size_t count = differences(type, theirs, elements);
    std::printf("%-8s %zu of %zu weights differ\n", quant::type_info(type)->name.data(), count, elements);
    total += count;
  }
  return total == 0 ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "decode: %s\n", error.what());
  return 1;
}
