// Every type of weights, alone and mixed. Weights of blocks are multiplied with activations rounded to int8, and that
// rounding costs accuracy: as much, by the mean KL from float64 on the same weights, as it costs the reference when it
// rounds its activations in the same way, and no more. In a model of one layer the two can even be compared number by
// number, since few roundings fall to different sides: there a single superblock read wrongly shows. (Deeper down, each
// that does moves others, and after some layers the two differ by as much as both do from float64.)
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "reference/ours.h"
#include "reference/random_model.h"
#include "reference/reference.h"
#include "reference/type_mixes.h"

namespace reference {
namespace {

constexpr std::size_t positions = 60;
constexpr double one_layer_bound = 1e-5;  // of the logits' spread: what the rounding of floats amounts to

class FloatTypes : public testing::TestWithParam<TypeMix> {};

TEST_P(FloatTypes, EqualTheReference) {
  const RandomModel shape{.heads = 4, .kv_heads = 2, .type = GetParam().type};
  const TemporaryModel model(shape);
  const std::vector<std::uint32_t> tokens = random_tokens(positions, shape.vocab);
  EXPECT_LT(distance(logits(model.file(), tokens), run_ours(model.file(), tokens)).worst_of_range, 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Types, FloatTypes, testing::ValuesIn(float_types()),
                         [](const auto& s) { return s.param.name; });

class BlockTypes : public testing::TestWithParam<TypeMix> {};

TEST_P(BlockTypes, EqualTheRoundedReferenceInOneLayer) {
  for (const RandomModel& shape : models_of(GetParam(), 1)) {
    const TemporaryModel model(shape);
    const std::vector<std::uint32_t> tokens = random_tokens(positions, shape.vocab);
    EXPECT_LT(
        distance(logits(model.file(), tokens, {.int8_activations = true}), run_ours(model.file(), tokens)).median_error,
        one_layer_bound)
        << kind_of_numbers(shape);
  }
}

TEST_P(BlockTypes, AreAsFarFromTheReferenceAsTheRoundingMakesThem) {
  for (const RandomModel& shape : models_of(GetParam(), 6)) {
    const TemporaryModel model(shape);
    // Where channels stand out, one position in a hundred can make most of the KL: three samples are pooled.
    const std::uint64_t samples = shape.outliers ? 3 : 1;
    Distance ours{};
    Distance unavoidable{};
    for (std::uint64_t seed = 1; seed <= samples; ++seed) {
      const std::vector<std::uint32_t> tokens = random_tokens(positions, shape.vocab, seed);
      const Rows exact = logits(model.file(), tokens);
      const Rows rounded = logits(model.file(), tokens, {.int8_activations = true});
      add(unavoidable, distance(exact, std::vector<float>(rounded.data.begin(), rounded.data.end())), samples);
      add(ours, distance(exact, run_ours(model.file(), tokens)), samples);
    }
    const char* kind = kind_of_numbers(shape);
    RecordProperty(std::string("mean_kl_") + kind, testing::PrintToString(ours.mean_kl));
    RecordProperty(std::string("relative_error_") + kind, testing::PrintToString(ours.relative_error));
    // A tenth and a fifth: the two round to different sides here and there, and the sample is small.
    EXPECT_LT(ours.relative_error, 1.1 * unavoidable.relative_error);
    EXPECT_LT(ours.mean_kl, 1.2 * unavoidable.mean_kl);
    EXPECT_LT(ours.relative_error, 0.1);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, BlockTypes, testing::ValuesIn(block_types()),
                         [](const auto& s) { return s.param.name; });

TEST(DroppedMins, OfOneSuperblockAreNoticedInEveryTensor) {
  for (const Type type : {Type::Q2_K, Type::Q4_K, Type::Q5_K}) {
    const RandomModel shape{.layers = 1, .hidden = 512, .kv_heads = 2, .vocab = 300, .tied = false, .type = only(type)};
    const TemporaryModel model(shape);
    const std::vector<std::uint32_t> tokens = random_tokens(positions, shape.vocab);
    const std::vector<float> ours = run_ours(model.file(), tokens);
    const auto compare = [&](const Faults& faults) {
      return distance(logits(model.file(), tokens, {.int8_activations = true, .faults = faults}), ours);
    };
    ASSERT_LT(compare({}).median_error, one_layer_bound);
    for (const std::string name : {"output", "blk.0.attn_q", "blk.0.attn_k", "blk.0.attn_v", "blk.0.attn_output",
                                   "blk.0.ffn_gate", "blk.0.ffn_up", "blk.0.ffn_down"}) {
      const DroppedMins dropped{.tensor = name + ".weight", .row = 7, .superblock = 1};
      EXPECT_GT(compare({.dropped_mins = dropped}).median_error, 100 * one_layer_bound) << name;
    }
    // A row of the embedding reaches only the positions from its token on.
    const DroppedMins dropped{.tensor = "token_embd.weight", .row = tokens[5], .superblock = 0};
    EXPECT_GT(compare({.dropped_mins = dropped}).median_error, 100 * one_layer_bound) << "token_embd";
  }
}

TEST(DroppedMins, OfOneTensorAreNoticedInADeepModel) {
  const RandomModel shape{
      .layers = 6, .kv_heads = 2, .type = [](std::string_view tensor) { return q4_k_m(tensor, 6); }};
  const TemporaryModel model(shape);
  const std::vector<std::uint32_t> tokens = random_tokens(positions, shape.vocab);
  const std::vector<float> ours = run_ours(model.file(), tokens);
  const double sound = distance(logits(model.file(), tokens), ours).mean_kl;
  for (const std::string name : {"blk.2.attn_q", "blk.3.ffn_up", "blk.5.attn_output"}) {
    const Faults faults{.dropped_mins = DroppedMins{.tensor = name + ".weight", .everywhere = true}};
    EXPECT_GT(distance(logits(model.file(), tokens, {.faults = faults}), ours).mean_kl, 5 * sound) << name;
  }
}

}  // namespace
}  // namespace reference
