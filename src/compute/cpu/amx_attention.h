// Attention of a prompt's rows in BF16 on AMX tiles: the fast mode of docs/numerics.md.
#pragma once

#include "compute/cpu/kernels.h"

namespace compute::cpu {

void amx_attend_prompt(const PromptPart& part);
std::size_t amx_prompt_scratch(std::size_t queries, std::size_t head_size);

}  // namespace compute::cpu
