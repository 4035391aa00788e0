// Whether this process may use AMX.
#pragma once

namespace compute::cpu {

// Whether the processor has tiles and products of int8 and BF16 on them, and the system lets this process use them:
// asks for its permission once, for all threads.
bool tiles_permitted();

}  // namespace compute::cpu
