// Random weights of any type, at the speed of memory: normally distributed ones are encoded once into a stock of
// pieces, and tensors are put together from randomly chosen pieces of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "base/thread_pool.h"
#include "quant/type.h"

namespace cli {

// splitmix64: one state word, so that any part of a file can be started on its own.
class FastRandom {
 public:
  explicit FastRandom(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  float uniform();  // [0, 1)
  float normal();   // mean 0, spread 1; sums of uniforms, so within ±6

 private:
  std::uint64_t state_;
};

class RandomWeights {
 public:
  // Elements of a piece: a whole number of blocks of every type. Rows of tensors must be whole numbers of pieces.
  static constexpr std::size_t piece_elements = 256;

  RandomWeights(std::uint64_t seed, base::ThreadPool& pool) : seed_(seed), pool_(pool) {}

  // Fills `out`, whole pieces of `type`, with weights of mean 0 and the given spread. The same seed, and the same calls
  // before, give the same bytes, whatever the number of threads.
  void fill(quant::Type type, float spread, std::span<std::byte> out);

 private:
  static constexpr std::size_t stock_pieces = 8192;

  const std::vector<std::byte>& stock(quant::Type type, float spread);

  std::uint64_t seed_;
  base::ThreadPool& pool_;
  std::map<std::pair<quant::Type, float>, std::vector<std::byte>> stocks_;
  std::uint64_t calls_ = 0;
};

}  // namespace cli
