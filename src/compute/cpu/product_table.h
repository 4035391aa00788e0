// Which kernel multiplies weights of which type, and with which form of the activations: the one table of it.
#pragma once

#include <variant>

#include "compute/cpu/kernels.h"

namespace compute::cpu {

// What a kernel takes its activations as; in the order of ProductKernel's alternatives, and then that of fast products.
enum class Form { Super, Small, Floats, Fast };

using ProductKernel = std::variant<SuperProduct * Kernels::*, SmallProduct * Kernels::*, FloatProduct * Kernels::*>;

// Whether weights of the type can be multiplied.
bool has_product(quant::Type type);

// Throws base::Error (Internal) where there is none.
ProductKernel product_for(quant::Type type);

// The form of activations that weights of a type are multiplied with, other than by fast products; throws likewise.
Form form_for(quant::Type type);

}  // namespace compute::cpu
