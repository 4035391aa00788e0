// What this machine's processors and memory can do at most: the rates that benchmarks are measured against.
#pragma once

#include <cstdint>
#include <string>

#include "base/thread_pool.h"

namespace cli {

struct Limits {
  double bytes_per_second = 0;  // read from memory, or from caches if the data fits there
  double int8_per_second = 0;   // operations of int8 dot products: each weight counts as a product and a sum
  double float_per_second = 0;  // operations of float32
  std::string instructions;     // that the products were measured with
};

// Measures with all threads of the pool, in about a second; reading over as many bytes as a model has, at most 4 GiB or
// half of the memory that is free.
Limits measure_limits(base::ThreadPool& pool, std::uint64_t model_bytes);

}  // namespace cli
