#include "compute/cpu/product_table.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "base/error.h"

namespace compute::cpu {
namespace {

using quant::Type;

struct Row {
  Type type;
  ProductKernel kernel;
};

constexpr Row table[] = {
    {Type::Q2_K, &Kernels::product_q2_k}, {Type::Q3_K, &Kernels::product_q3_k},
    {Type::Q4_K, &Kernels::product_q4_k}, {Type::Q5_K, &Kernels::product_q5_k},
    {Type::Q6_K, &Kernels::product_q6_k}, {Type::IQ4_XS, &Kernels::product_iq4_xs},
    {Type::Q8_0, &Kernels::product_q8_0}, {Type::Q4_0, &Kernels::product_q4_0},
    {Type::Q4_1, &Kernels::product_q4_1}, {Type::Q5_0, &Kernels::product_q5_0},
    {Type::Q5_1, &Kernels::product_q5_1}, {Type::IQ4_NL, &Kernels::product_iq4_nl},
    {Type::F32, &Kernels::product_f32},   {Type::F16, &Kernels::product_f16},
    {Type::BF16, &Kernels::product_bf16},
};

const Row* find(Type type) {
  const Row* row = std::ranges::find(table, type, &Row::type);
  return row == std::end(table) ? nullptr : row;
}

}  // namespace

bool has_product(Type type) { return find(type) != nullptr; }

ProductKernel product_for(Type type) {
  if (const Row* row = find(type)) return row->kernel;
  const auto info = quant::type_info(type);
  throw base::Error(base::ErrorKind::Internal, "matrix",
                    "weights of type " + (info ? std::string(info->name) : "unknown") + " cannot be multiplied");
}

Form form_for(Type type) { return static_cast<Form>(product_for(type).index()); }

}  // namespace compute::cpu
