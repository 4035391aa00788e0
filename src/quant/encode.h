// From floats to a tensor's bytes, one row at a time.
#pragma once

#include <cstddef>
#include <span>

#include "quant/type.h"

namespace quant {

// F32, F16, BF16, Q8_0, Q4_K, Q5_K, Q6_K.
bool can_encode(Type type);

// Nearest values for F32, F16, BF16 and Q8_0; for the K-quants a search for the scales of least squared error (fit.h).
// `out` holds exactly the bytes of row.size() elements, a whole number of blocks; throws base::Error if it does not, if
// the type cannot be encoded, or if values are too large for its scales, which are binary16: magnitudes above 8e6 for
// Q8_0, 6e7 to 3e8 for the K-quants. Values must be finite; those too large for F16 or BF16 become infinite.
void encode(Type type, std::span<const float> row, std::span<std::byte> out);

}  // namespace quant
