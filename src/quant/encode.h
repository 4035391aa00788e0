// From floats to a tensor's bytes, one row at a time.
#pragma once

#include <cstddef>
#include <span>

#include "quant/type.h"

namespace quant {

// F32, F16, BF16, Q8_0, Q4_K, Q5_K, Q6_K.
bool can_encode(Type type);

// Nearest values for F32, F16, BF16 and Q8_0; for the K-quants each group's range is fitted by its extremes, without
// searching for better scales. `out` holds exactly the bytes of row.size() elements, a whole number of blocks; throws
// base::Error if it does not, or if the type cannot be encoded. Values must be finite.
void encode(Type type, std::span<const float> row, std::span<std::byte> out);

}  // namespace quant
