// Kernels for AMX (tiles of int8 and BF16) beside AVX-512.
#include "compute/cpu/amx_attention.h"
#include "compute/cpu/kernels.h"

namespace compute::cpu {

const Kernels& amx_kernels() {
  static const Kernels kernels = [] {
    Kernels k = avx512_kernels();
    k.name = "AMX (int8)";
    k.has_fast_mode = true;
    k.attend_prompt = amx_attend_prompt;
    k.prompt_scratch = amx_prompt_scratch;
    return k;
  }();
  return kernels;
}

}  // namespace compute::cpu
