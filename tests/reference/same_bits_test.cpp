// The same tokens give the same bits, however they are cut into batches, whatever else is in the batch, on any number
// of threads and with every instruction set.
#include <gtest/gtest.h>

#include <functional>
#include <ostream>

#include "reference/ours.h"
#include "reference/random_model.h"
#include "reference/side_by_side.h"

namespace reference {
namespace {

constexpr std::size_t positions = 150;  // three pages

struct Subject {
  const char* name;
  std::function<Type(std::string_view)> type;
};

void PrintTo(const Subject& subject, std::ostream* out) { *out << subject.name; }

const Subject subjects[] = {
    {"F32", [](std::string_view) { return Type::F32; }},
    {"F16", [](std::string_view) { return Type::F16; }},
    {"BF16", [](std::string_view) { return Type::BF16; }},
    {"Q8_0", [](std::string_view) { return Type::Q8_0; }},
    {"Q5_K", [](std::string_view) { return Type::Q5_K; }},
    {"FewBits",
     [](std::string_view tensor) {
       if (tensor.ends_with("ffn_down.weight")) return Type::Q3_K;
       return tensor.starts_with("blk.") ? Type::Q2_K : Type::Q4_1;
     }},
    {"BlocksOf32",
     [](std::string_view tensor) {
       if (tensor.find("attn") != std::string_view::npos) return Type::Q4_0;
       if (tensor.ends_with("ffn_down.weight")) return Type::Q5_1;
       return tensor.starts_with("blk.") ? Type::Q5_0 : Type::IQ4_NL;
     }},
    {"IQ4_XS", [](std::string_view) { return Type::IQ4_XS; }},
    {"Q4_K_M", [](std::string_view tensor) { return q4_k_m(tensor, 4); }},
};

class SameBits : public testing::TestWithParam<Subject> {
 protected:
  const RandomModel shape_{
      .layers = 4, .ffn = 256, .kv_heads = 2, .vocab = 300, .outliers = true, .type = GetParam().type};
  const TemporaryModel model_{shape_};
  const std::vector<std::uint32_t> tokens_ = random_tokens(positions, shape_.vocab);
};

TEST_P(SameBits, HoweverTheTokensAreCut) {
  for (const quant::Type kv : {quant::Type::F32, quant::Type::F16}) {
    const std::vector<float> expected = run_ours(model_.file(), tokens_, {.kv = kv});
    for (const std::vector<std::size_t>& chunks :
         {std::vector<std::size_t>{1}, {7, 1, 33, 2}, {63, 65}, {5}, {149, 1}}) {
      EXPECT_TRUE(same_bits(expected, run_ours(model_.file(), tokens_, {.kv = kv, .chunks = chunks})))
          << "in batches of " << testing::PrintToString(chunks) << ", cache type " << static_cast<int>(kv);
    }
  }
}

TEST_P(SameBits, OnEveryInstructionSetAndNumberOfThreads) {
  const std::span<const std::uint32_t> tokens = std::span(tokens_).first(70);  // the scalar kernels are slow
  for (const quant::Type kv : {quant::Type::F32, quant::Type::F16}) {
    const std::vector<float> expected =
        run_ours(model_.file(), tokens, {.kv = kv, .threads = 1, .isa = compute::Isa::Scalar});
    for (const compute::Isa isa : runnable_isas()) {
      for (const int threads : {1, 2, 3}) {
        if (isa == compute::Isa::Scalar && (threads != 3 || kv != quant::Type::F16)) continue;
        const std::vector<std::size_t> chunks =
            threads == 1 ? std::vector<std::size_t>{} : std::vector<std::size_t>{1, 40, 3, 9};
        EXPECT_TRUE(same_bits(
            expected, run_ours(model_.file(), tokens, {.kv = kv, .threads = threads, .isa = isa, .chunks = chunks})))
            << "instruction set " << static_cast<int>(isa) << ", " << threads << " threads, cache type "
            << static_cast<int>(kv);
      }
    }
  }
}

void advance_with_the_same_bits(const RandomModel& shape) {
  advance_side_by_side(shape, compute::DeviceKind::Cpu, [](std::span<const float> alone, std::span<const float> got) {
    EXPECT_TRUE(same_bits(alone, got));
  });
}

TEST_P(SameBits, WhateverElseIsInTheBatch) { advance_with_the_same_bits(shape_); }

// The last layer, through which only the rows with logits go, has RoPE here.
TEST_P(SameBits, WhateverElseIsInTheBatchOfFiveLayers) {
  RandomModel shape = shape_;
  shape.layers = 5;
  advance_with_the_same_bits(shape);
}

INSTANTIATE_TEST_SUITE_P(Types, SameBits, testing::ValuesIn(subjects),
                         [](const auto& subject) { return subject.param.name; });

}  // namespace
}  // namespace reference
