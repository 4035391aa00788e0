// The structure of the forward pass, on files of F32 weights with keys and values in F32, where nothing but the
// rounding of floats separates the program from the reference: a mistake in structure shows as a difference a hundred
// times larger.
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "reference/on_device.h"
#include "reference/ours.h"
#include "reference/random_model.h"
#include "reference/reference.h"

namespace reference {
namespace {

constexpr double bound = 1e-4;  // of the range of a position's logits
constexpr std::size_t positions = 200;

class Structure : public OnDevice {
 protected:
  static double worst(const RandomModel& shape, std::size_t count, reference::Run run = {},
                      const Options& options = {}) {
    run.device = device;
    const TemporaryModel model(shape);
    const std::vector<std::uint32_t> tokens = random_tokens(count, shape.vocab);
    const double share =
        distance(logits(model.file(), tokens, options), run_ours(model.file(), tokens, run)).worst_of_range;
    testing::Test::RecordProperty("largest_share_of_range", testing::PrintToString(share));
    return share;
  }
};

TEST_F(Structure, EqualsTheReference) { EXPECT_LT(worst({.heads = 4, .kv_heads = 2}, positions), bound); }

TEST_F(Structure, EqualsTheReferenceWithAHeadOfItsOwn) {
  EXPECT_LT(worst({.heads = 4, .kv_heads = 2, .tied = false}, positions), bound);
}

TEST_F(Structure, EqualsTheReferenceWithOutlyingChannels) {
  EXPECT_LT(worst({.heads = 4, .kv_heads = 2, .outliers = true}, positions), bound);
}

TEST_F(Structure, EqualsTheReferenceWithYarnFromTheFile) {
  EXPECT_LT(worst({.heads = 4, .kv_heads = 2, .yarn_factor = 2}, positions), bound);
}

TEST_F(Structure, EqualsTheReferenceWithYarnFromTheContextAskedFor) {
  EXPECT_LT(worst({.heads = 4, .kv_heads = 2}, positions, {.context = 131072}, {.yarn_factor = 2}), bound);
}

TEST_F(Structure, StretchesOnlyOnce) {
  EXPECT_LT(worst({.heads = 4, .kv_heads = 2, .yarn_factor = 2}, positions, {.context = 131072}), bound);
}

TEST_F(Structure, DoesNotStretchForAContextTheModelHas) {
  EXPECT_LT(worst({.heads = 4, .kv_heads = 2}, positions, {.context = 65536}), bound);
}

// Past the 64 positions of a page and the 512 of a batch.
TEST_F(Structure, EqualsTheReferenceOver700Positions) {
  for (const float factor : {1.0f, 2.0f}) {
    EXPECT_LT(worst({.hidden = 128, .ffn = 256, .heads = 2, .kv_heads = 1, .vocab = 300, .yarn_factor = factor}, 700),
              bound);
  }
}

TEST_F(Structure, EqualsTheReferenceInEveryShape) {
  const RandomModel shapes[] = {
      {.layers = 4, .hidden = 256, .ffn = 512, .heads = 4, .kv_heads = 1},
      {.layers = 4, .hidden = 384, .ffn = 1056, .heads = 6, .kv_heads = 2},
      {.layers = 4, .hidden = 512, .ffn = 256, .heads = 8, .kv_heads = 8},
      {.layers = 4, .hidden = 512, .ffn = 544, .heads = 4, .kv_heads = 2, .yarn_factor = 2},
      {.layers = 9, .hidden = 64, .ffn = 96, .heads = 4, .kv_heads = 2, .vocab = 257},
      {.layers = 4, .hidden = 96, .ffn = 128, .heads = 2, .kv_heads = 1, .vocab = 77},
      {.layers = 4, .hidden = 128, .ffn = 192, .heads = 3, .kv_heads = 1, .head_size = 96, .vocab = 321},
      {.layers = 1, .hidden = 32, .ffn = 32, .heads = 1, .kv_heads = 1, .vocab = 33},
  };
  for (RandomModel shape : shapes) {
    for (shape.seed = 1; shape.seed <= 2; ++shape.seed) {
      EXPECT_LT(worst(shape, 70), bound) << "hidden " << shape.hidden << ", heads " << shape.heads
                                         << ", key/value heads " << shape.kv_heads << ", seed " << shape.seed;
    }
  }
}

TEST_F(Structure, EveryInstructionSetEqualsTheReference) {
  const RandomModel shape{.layers = 4, .heads = 4, .kv_heads = 2, .yarn_factor = 2};
  for (const compute::Isa isa : runnable_isas()) {
    EXPECT_LT(worst(shape, 70, {.isa = isa}), bound) << "instruction set " << static_cast<int>(isa);
  }
}

// Each of these, put into one of the two sides, must make the comparison above fail, and by far.
TEST_F(Structure, NoticesEachFault) {
  const RandomModel shape{.layers = 8, .hidden = 128, .ffn = 256, .heads = 4, .kv_heads = 2, .yarn_factor = 2};
  const TemporaryModel model(shape);
  const std::vector<std::uint32_t> tokens = random_tokens(positions, shape.vocab);
  const std::vector<float> ours = run_ours(model.file(), tokens, {.device = device});
  ASSERT_LT(distance(logits(model.file(), tokens), ours).worst_of_range, bound);

  const std::pair<const char*, Faults> faults[] = {
      {"rope_on_the_nope_layers", {.rope_on_nope_layers = true}},
      {"nope_on_layers_0_and_4", {.nope_on_first_of_four = true}},
      {"rope_pairs_as_halves", {.rope_pairs_as_halves = true}},
      {"yarn_ignored", {.yarn_ignored = true}},
      {"yarn_without_magnitude", {.yarn_without_magnitude = true}},
      {"yarn_without_stretch", {.yarn_without_stretch = true}},
      {"heads_of_the_wrong_group", {.kv_heads_interleaved = true}},
      {"first_layer_skipped", {.skipped_layer = 0}},
      {"nope_layer_skipped", {.skipped_layer = 3}},
      {"last_layer_skipped", {.skipped_layer = 7}},
  };
  for (const auto& [name, fault] : faults) {
    const double with_fault = distance(logits(model.file(), tokens, {.faults = fault}), ours).worst_of_range;
    RecordProperty(name, std::to_string(with_fault));
    EXPECT_GT(with_fault, 20 * bound) << name;
  }
}

}  // namespace
}  // namespace reference
