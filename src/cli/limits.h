// What this machine's processors and memory can do at most: the rates that benchmarks are measured against.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "compute/compute.h"

namespace cli {

// Measures with all threads of the pool, in about a second: int8 dot products, float32 products, BF16 ones where there
// is AMX, and reading over as many bytes as a model has, at most 4 GiB or half of the memory that is free; from caches
// if they fit there.
compute::Rates measure_limits(base::ThreadPool& pool, std::uint64_t model_bytes);

}  // namespace cli
