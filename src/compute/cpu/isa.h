// Which instruction set the CPU device uses.
#pragma once

#include <optional>

#include "compute/compute.h"
#include "compute/cpu/kernels.h"

namespace compute::cpu {

// `forced`, or what SMOLLM3_CPU asks for, or else the best that the machine has.
Isa choose_isa(std::optional<Isa> forced);

const Kernels& kernels_for(Isa isa);

}  // namespace compute::cpu
