#include "cli/random_weights.h"

#include <algorithm>
#include <cstring>

#include "cli/recipe.h"
#include "quant/encode.h"

namespace cli {
namespace {

constexpr std::uint64_t golden = 0x9E3779B97F4A7C15;

std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

}  // namespace

std::uint64_t FastRandom::next() { return mix(state_ += golden); }

float FastRandom::uniform() { return static_cast<float>(next() >> 40) * 0x1p-24f; }

float FastRandom::normal() {
  // Twelve uniform numbers of 16 bits have the variance 1 (Irwin and Hall).
  std::uint32_t sum = 0;
  for (int i = 0; i < 3; ++i) {
    const std::uint64_t bits = next();
    for (int k = 0; k < 64; k += 16) sum += static_cast<std::uint32_t>(bits >> k & 0xFFFF);
  }
  return static_cast<float>(sum) * 0x1p-16f - 6.0f;
}

const std::vector<std::byte>& RandomWeights::stock(quant::Type type, float spread) {
  std::vector<std::byte>& pieces = stocks_[{type, spread}];
  if (!pieces.empty()) return pieces;
  const std::size_t bytes = type_bytes(type, piece_elements);
  pieces.resize(stock_pieces * bytes);
  constexpr int parts = 64;
  const std::uint64_t seed = mix(seed_ + stocks_.size() * golden);
  pool_.run(parts, [&](int part, int) {
    FastRandom random(seed + static_cast<std::uint64_t>(part) * 0x100000001);
    std::vector<float> row(piece_elements);
    const std::size_t begin = stock_pieces / parts * static_cast<std::size_t>(part);
    for (std::size_t piece = begin; piece < begin + stock_pieces / parts; ++piece) {
      std::ranges::generate(row, [&] { return random.normal() * spread; });
      quant::encode(type, row, std::span(pieces).subspan(piece * bytes, bytes));
    }
  });
  return pieces;
}

void RandomWeights::fill(quant::Type type, float spread, std::span<std::byte> out) {
  const std::vector<std::byte>& pieces = stock(type, spread);
  const std::size_t bytes = type_bytes(type, piece_elements);
  const std::size_t count = out.size() / bytes;
  constexpr std::size_t run_pieces = 1024;  // that one thread takes at a time
  const std::uint64_t seed = mix(seed_ ^ ++calls_ * golden);
  pool_.run(static_cast<int>((count + run_pieces - 1) / run_pieces), [&](int run, int) {
    FastRandom random(seed + static_cast<std::uint64_t>(run) * 0x100000001);
    const std::size_t begin = static_cast<std::size_t>(run) * run_pieces;
    for (std::size_t i = begin; i < std::min(begin + run_pieces, count); ++i) {
      std::memcpy(&out[i * bytes], &pieces[random.next() % stock_pieces * bytes], bytes);
    }
  });
}

}  // namespace cli
