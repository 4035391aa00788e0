// Which kernel multiplies weights of which type, and with which form of the activations: the one table of it.
#pragma once

#include <cstddef>
#include <variant>

#include "compute/cpu/kernels.h"

namespace compute::cpu {

// What a kernel takes its activations as; in the order of ProductKernel's alternatives, and then those of products on
// tiles.
enum class Form { Super, Small, Floats, Exact, Fast };
inline constexpr std::size_t forms = 5;

using ProductKernel = std::variant<SuperProduct * Kernels::*, SmallProduct * Kernels::*, FloatProduct * Kernels::*>;

// Whether weights of the type can be multiplied.
bool has_product(quant::Type type);

// Throws base::Error (Internal) where there is none.
ProductKernel product_for(quant::Type type);

// The form of activations that weights of a type are multiplied with, other than on tiles; throws likewise.
Form form_for(quant::Type type);

}  // namespace compute::cpu
