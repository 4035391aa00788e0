// Kernels for AMX (tiles of int8 and BF16) beside AVX-512.
#include "compute/cpu/kernels.h"

namespace compute::cpu {

const Kernels& amx_kernels() {
  static const Kernels kernels = [] {
    Kernels k = avx512_kernels();
    k.name = "AMX (int8)";
    return k;
  }();
  return kernels;
}

}  // namespace compute::cpu
