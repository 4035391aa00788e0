// Every type of weights, alone and mixed. Two bounds: against float64 on the same weights, the cost of int8 activations
// is stated in KL; against the reference with its activations rounded to int8 as the program's are, next to nothing may
// remain, so that a mistake in a single superblock shows.
#include <gtest/gtest.h>

#include "reference/ours.h"
#include "reference/random_model.h"
#include "reference/reference.h"

namespace reference {
namespace {

constexpr std::size_t positions = 100;

struct Subject {
  const char* name;
  std::function<Type(std::string_view)> type;
};

std::function<Type(std::string_view)> only(Type type) {
  return [type](std::string_view) { return type; };
}

// Every type somewhere, two tensors of a layer never of the same type.
Type all_types(std::string_view tensor) {
  static constexpr Type types[] = {Type::Q4_K, Type::F16, Type::Q6_K, Type::Q8_0, Type::F32, Type::Q5_K, Type::BF16};
  static constexpr std::string_view names[] = {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"};
  if (!tensor.starts_with("blk.")) return tensor == "output.weight" ? Type::Q5_K : Type::Q8_0;
  const auto layer = static_cast<std::size_t>(tensor[4] - '0');
  for (std::size_t i = 0; i < std::size(names); ++i) {
    if (tensor.find(names[i]) != std::string_view::npos) return types[(i + layer) % std::size(types)];
  }
  return Type::F32;
}

const Subject float_types[] = {{"F16", only(Type::F16)}, {"BF16", only(Type::BF16)}};
const Subject block_types[] = {
    {"Q8_0", only(Type::Q8_0)}, {"Q4_K", only(Type::Q4_K)}, {"Q5_K", only(Type::Q5_K)}, {"Q6_K", only(Type::Q6_K)},
    {"Q4_K_M", [](std::string_view tensor) { return q4_k_m(tensor, 8); }}, {"AllTypes", all_types},
};

class FloatTypes : public testing::TestWithParam<Subject> {};

TEST_P(FloatTypes, EqualTheReference) {
  const RandomModel shape{.heads = 4, .kv_heads = 2, .type = GetParam().type};
  const TemporaryModel model(shape);
  const std::vector<std::uint32_t> tokens = random_tokens(positions, shape.vocab);
  EXPECT_LT(distance(logits(model.file(), tokens), run_ours(model.file(), tokens)).worst_of_range, 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Types, FloatTypes, testing::ValuesIn(float_types), [](const auto& s) { return s.param.name; });

class BlockTypes : public testing::TestWithParam<Subject> {
 protected:
  void compare(const RandomModel& shape) {
    const TemporaryModel model(shape);
    const std::vector<std::uint32_t> tokens = random_tokens(positions, shape.vocab);
    const std::vector<float> ours = run_ours(model.file(), tokens);
    const Rows exact = logits(model.file(), tokens);
    const Rows rounded = logits(model.file(), tokens, {.int8_activations = true});
    const Distance from_exact = distance(exact, ours);
    const Distance from_rounded = distance(rounded, ours);
    const Distance unavoidable = distance(exact, std::vector<float>(rounded.data.begin(), rounded.data.end()));
    std::printf("exact kl %.3g rel %.3g | rounded worst %.3g rel %.3g kl %.3g col %.3g | unavoidable kl %.3g rel %.3g\n", from_exact.mean_kl,
                from_exact.relative_error, from_rounded.worst_of_range, from_rounded.relative_error, from_rounded.mean_kl, from_rounded.worst_column,
                unavoidable.mean_kl, unavoidable.relative_error);
  }
};

TEST_P(BlockTypes, Encoded) { compare({.layers = 8, .kv_heads = 2, .type = GetParam().type}); }
TEST_P(BlockTypes, OfAnyBits) { compare({.layers = 8, .kv_heads = 2, .any_blocks = true, .type = GetParam().type}); }
TEST_P(BlockTypes, WithOutlyingChannels) { compare({.layers = 8, .hidden = 512, .kv_heads = 2, .outliers = true, .type = GetParam().type}); }

INSTANTIATE_TEST_SUITE_P(Types, BlockTypes, testing::ValuesIn(block_types), [](const auto& s) { return s.param.name; });

}  // namespace
}  // namespace reference
