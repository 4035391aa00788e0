// Whole models on the GPU's backend, carried out on the processor: what is recorded, fused, replayed as graphs and
// multiplied by kernels must give the reference's logits, however the tokens are cut into batches.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "reference/ours.h"
#include "reference/random_model.h"
#include "reference/reference.h"

namespace reference {
namespace {

constexpr double float_bound = 1e-4;  // of the range of a position's logits, for models of F32
constexpr double half_bound = 5e-3;   // relative error, where products are of halves

Distance on_gpu(const RandomModel& shape, std::size_t positions, quant::Type kv,
                const std::vector<std::size_t>& chunks) {
  const TemporaryModel model(shape);
  const std::vector<std::uint32_t> tokens = random_tokens(positions, shape.vocab);
  return distance(logits(model.file(), tokens),
                  run_ours(model.file(), tokens, {.device = compute::DeviceKind::Cuda, .kv = kv, .chunks = chunks}));
}

TEST(Emulated, FloatsEqualTheReference) {
  const RandomModel shape{.hidden = 64, .ffn = 96, .heads = 4, .kv_heads = 2, .vocab = 100};
  for (const std::vector<std::size_t>& chunks : {std::vector<std::size_t>{1}, {7}, {3, 1, 20}}) {
    SCOPED_TRACE(chunks.front());
    EXPECT_LT(on_gpu(shape, 14, quant::Type::F32, chunks).worst_of_range, float_bound);
  }
}

struct Shape {
  std::string name;
  RandomModel model;
};

class EmulatedHalves : public testing::TestWithParam<Shape> {};

TEST_P(EmulatedHalves, AreNearTheReference) {
  // One row is generation; up to eight take the kernels for few rows, more those for many; 70 go past a page.
  for (const std::vector<std::size_t>& chunks : {std::vector<std::size_t>{1}, {5, 1}, {20, 1, 1}}) {
    SCOPED_TRACE(chunks.front());
    EXPECT_LT(on_gpu(GetParam().model, 23, quant::Type::F16, chunks).relative_error, half_bound);
  }
  EXPECT_LT(on_gpu(GetParam().model, 72, quant::Type::F16, {70, 1}).relative_error, half_bound);
}

Type q4_k_m_of_four(std::string_view tensor) { return q4_k_m(tensor, 4); }

INSTANTIATE_TEST_SUITE_P(
    Models, EmulatedHalves,
    testing::Values(Shape{"Q4_K_M", {.layers = 4, .ffn = 512, .kv_heads = 2, .vocab = 200, .type = q4_k_m_of_four}},
                    Shape{"Q4_K_M_Outliers",
                          {.layers = 4, .heads = 2, .vocab = 200, .outliers = true, .type = q4_k_m_of_four}},
                    Shape{"Q8_0",
                          {.layers = 4,
                           .ffn = 96,
                           .heads = 2,
                           .vocab = 200,
                           .tied = false,
                           .type = [](std::string_view) { return Type::Q8_0; }}}),
    [](const auto& shape) { return shape.param.name; });

}  // namespace
}  // namespace reference
