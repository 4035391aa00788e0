// The fast mode that processors with AMX have for prompts, in whole models, on emulated tiles: what its rounding costs
// beside that of the exact mode, and that it too depends neither on how a prompt is cut nor on threads.
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>

#include "reference/ours.h"
#include "reference/random_model.h"
#include "reference/reference.h"
#include "reference/type_mixes.h"

namespace reference {
namespace {

constexpr std::size_t positions = 60;

Run in_mode(compute::Precision precision) { return {.isa = compute::Isa::Amx, .precision = precision}; }

// The types of blocks of 256, alone and mixed: those that the fast mode has products for.
std::vector<TypeMix> fast_types() {
  std::vector<TypeMix> types;
  for (const TypeMix& mix : block_types()) {
    const std::string_view name = mix.name;
    if (name.find("_K") != name.npos || name == "IQ4_XS") types.push_back(mix);
  }
  return types;
}

class FastTypes : public testing::TestWithParam<TypeMix> {
 protected:
  void SetUp() override {
    if (!compute::supported(compute::Isa::Amx)) GTEST_SKIP() << "this processor cannot run AVX-512";
  }
};

TEST_P(FastTypes, CostAboutTwiceWhatExactOnesDo) {
  for (const RandomModel& shape : models_of(GetParam(), 6)) {
    const TemporaryModel model(shape);
    const std::uint64_t samples = shape.outliers ? 12 : 1;
    Distance fast{};
    Distance exact{};
    for (std::uint64_t seed = 1; seed <= samples; ++seed) {
      const std::vector<std::uint32_t> tokens = random_tokens(positions, shape.vocab, seed);
      const Rows reference = logits(model.file(), tokens);
      add(fast, distance(reference, run_ours(model.file(), tokens, in_mode(compute::Precision::Fast))), samples);
      add(exact, distance(reference, run_ours(model.file(), tokens, in_mode(compute::Precision::Exact))), samples);
    }
    const std::string kind = kind_of_numbers(shape);
    RecordProperty("fast_kl_" + kind, testing::PrintToString(fast.mean_kl));
    RecordProperty("exact_kl_" + kind, testing::PrintToString(exact.mean_kl));
    // Rounding weights to int8 as activations are doubles the square of the error, and a scale for twice as many
    // columns adds a little. Where channels stand out, few positions make most of it.
    EXPECT_LT(fast.relative_error, (shape.outliers ? 2 : 1.5) * exact.relative_error) << kind;
    EXPECT_LT(fast.mean_kl, (shape.outliers ? 2.5 : 2.2) * exact.mean_kl) << kind;
  }
}

TEST_P(FastTypes, HaveTheSameBitsHoweverAPromptIsCut) {
  const RandomModel shape = models_of(GetParam(), 4).front();
  const TemporaryModel model(shape);
  const std::vector<std::uint32_t> tokens = random_tokens(150, shape.vocab);
  reference::Run run = in_mode(compute::Precision::Fast);
  const std::vector<float> expected = run_ours(model.file(), tokens, run);
  for (const int threads : {1, 3}) {
    run.threads = threads;
    run.chunks = {1, 40, 7, 16};
    EXPECT_TRUE(same_bits(run_ours(model.file(), tokens, run), expected)) << threads;
  }
  EXPECT_FALSE(same_bits(run_ours(model.file(), tokens, in_mode(compute::Precision::Exact)), expected));
}

TEST_P(FastTypes, HaveTheScalarBitsInTheExactMode) {
  const RandomModel shape = models_of(GetParam(), 4).front();
  const TemporaryModel model(shape);
  const std::vector<std::uint32_t> tokens = random_tokens(40, shape.vocab);
  EXPECT_TRUE(same_bits(run_ours(model.file(), tokens, in_mode(compute::Precision::Exact)),
                        run_ours(model.file(), tokens, {.isa = compute::Isa::Scalar})));
}

// Makes zeros of the tensors with such names; the file must be opened again to see it.
void clear(const TemporaryModel& model, std::string_view ending) {
  const gguf::File& file = model.file();
  std::fstream out(model.path(), std::ios::in | std::ios::out | std::ios::binary);
  for (const gguf::Tensor& tensor : file.tensors()) {
    if (!tensor.name.ends_with(ending)) continue;
    out.seekp(tensor.room.data() - file.mapping().bytes().data());
    out << std::string(tensor.room.size(), '\0');
  }
}

// Values that are zero and layers of floats leave nothing in which the modes differ but the output head.
TEST_P(FastTypes, LeaveTheOutputHeadExact) {
  RandomModel shape = models_of(GetParam(), 4).front();
  shape.type = [type = shape.type](std::string_view tensor) {
    return tensor == "token_embd.weight" ? type(tensor) : Type::F32;
  };
  const TemporaryModel model(shape);
  clear(model, "attn_v.weight");
  const gguf::File file = gguf::File::open(model.path());
  const std::vector<std::uint32_t> tokens = random_tokens(20, shape.vocab);
  EXPECT_TRUE(same_bits(run_ours(file, tokens, in_mode(compute::Precision::Fast)),
                        run_ours(file, tokens, {.isa = compute::Isa::Scalar})));
}

INSTANTIATE_TEST_SUITE_P(Types, FastTypes, testing::ValuesIn(fast_types()), [](const auto& s) { return s.param.name; });

}  // namespace
}  // namespace reference
