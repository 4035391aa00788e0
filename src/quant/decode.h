// From a tensor's bytes to floats, one row at a time: the definition of what each format's bits mean.
#pragma once

#include <cstddef>
#include <span>

#include "quant/type.h"

namespace quant {

// F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_XS.
bool can_decode(Type type);

// row holds exactly the bytes of out.size() elements, a whole number of blocks; throws base::Error if it does not, or
// if the type cannot be decoded.
void decode(Type type, std::span<const std::byte> row, std::span<float> out);

}  // namespace quant
