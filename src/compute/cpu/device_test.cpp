// The device as its callers see it: what is chosen, what is refused, and products that share a phase.
#include <cstdlib>

#include "base/error.h"
#include "compute/cpu/test_support.h"
#include "quant/decode.h"

namespace compute::cpu::test {
namespace {

class Environment : public testing::Test {
 protected:
  void SetUp() override {
    if (const char* value = std::getenv("SMOLLM3_CPU")) saved_ = value;
  }
  void TearDown() override {
    if (saved_) setenv("SMOLLM3_CPU", saved_->c_str(), 1);
    if (!saved_) unsetenv("SMOLLM3_CPU");
  }

 private:
  std::optional<std::string> saved_;
};

TEST_F(Environment, PicksTheInstructionSet) {
  setenv("SMOLLM3_CPU", "scalar", 1);
  EXPECT_EQ(make_cpu_device(1)->name(), "scalar");
  if (supported(Isa::Avx2)) {
    setenv("SMOLLM3_CPU", "avx2", 1);
    EXPECT_EQ(make_cpu_device(1)->name(), "AVX2");
  }
  setenv("SMOLLM3_CPU", "", 1);
  const std::string best = make_cpu_device(1)->name();
  EXPECT_EQ(best, supported(Isa::Amx)      ? "AMX (int8)"
                  : supported(Isa::Avx512) ? "AVX-512 (VNNI)"
                  : supported(Isa::Avx2)   ? "AVX2"
                                           : "scalar");
  for (const char* unknown : {"AVX2", "avx", "sse", "neon"}) {
    setenv("SMOLLM3_CPU", unknown, 1);
    EXPECT_THROW(make_cpu_device(1), base::Error) << unknown;
  }
}

TEST(Device, RefusesNoThreads) { EXPECT_THROW(make_cpu_device(0), base::Error); }

TEST(Device, RefusesShapesThatDoNotFit) {
  Random random(1);
  const auto device = make_cpu_device(2);
  const Weight w = random_weight(quant::Type::Q4_K, 8, 256, random);
  const auto x = device->make_activations(4, 256);
  device->assign(device->allocate(4, 256).view(), *x);
  const Buffer y = device->allocate(4, 8);
  EXPECT_THROW(device->matmul(*x, {{w.matrix, y.first(3)}}), base::Error);
  Matrix shorter = w.matrix;
  shorter.data = shorter.data.first(shorter.data.size() - 1);
  EXPECT_THROW(device->matmul(*x, {{shorter, y.view()}}), base::Error);
  Matrix unknown = w.matrix;
  unknown.type = quant::Type::IQ3_S;
  EXPECT_THROW(device->matmul(*x, {{unknown, y.view()}}), base::Error);
  EXPECT_THROW(device->assign(device->allocate(5, 256).view(), *x), base::Error);
  const std::uint32_t token = 8;
  EXPECT_THROW(device->embed(w.matrix, {&token, 1}, device->allocate(1, 256).view()), base::Error);
  const KvShape shape{.layers = 1, .kv_heads = 1, .head_size = 16};
  const KvRow row{{}, 0};
  const Buffer k = device->allocate(1, 16);
  EXPECT_THROW(device->store_kv(shape, 0, k.view(), k.view(), {&row, 1}), base::Error);
}

TEST(Device, ProductsOfOneInputShareAPhase) {
  Random random(2);
  for (const std::size_t n : {1, 5, 80}) {
    const auto device = make_cpu_device(3);
    const Weight q = random_weight(quant::Type::Q4_K, 100, 512, random);
    const Weight k = random_weight(quant::Type::Q6_K, 33, 512, random);
    const Weight v = random_weight(quant::Type::F16, 7, 512, random);
    const Buffer x = to_device(*device, random_values(n * 512, random), n);
    const auto input = device->make_activations(n, 512);
    device->assign(x.view(), *input);
    const Buffer yq = device->allocate(n, 100);
    const Buffer yk = device->allocate(n, 33);
    const Buffer yv = device->allocate(n, 7);
    device->matmul(*input, {{q.matrix, yq.view()}, {k.matrix, yk.view()}, {v.matrix, yv.view()}});
    for (const auto& [w, together] : {std::pair(&q, &yq), std::pair(&k, &yk), std::pair(&v, &yv)}) {
      const Buffer y = device->allocate(n, w->matrix.rows);
      device->matmul(*input, {{w->matrix, y.view()}});
      EXPECT_TRUE(same_bits(from_device(*device, y.view()), from_device(*device, together->view())));
    }
  }
}

TEST(Device, ProductsAreAddedToWhatIsThere) {
  Random random(3);
  for (const Isa isa : {Isa::Scalar, Isa::Avx2, Isa::Avx512, Isa::Amx}) {
    if (!supported(isa)) continue;
    const auto device = make_cpu_device(2, isa);
    for (const quant::Type type : all_types()) {
      const Weight w = random_weight(type, 45, 256, random);
      const auto input = device->make_activations(6, 256);
      device->assign(to_device(*device, random_values(6 * 256, random), 6).view(), *input);
      const std::vector<float> before = random_values(6 * 45, random);
      const Buffer y = to_device(*device, before, 6);
      const Buffer product = device->allocate(6, 45);
      device->matmul(*input, {{w.matrix, product.view()}});
      device->matmul(*input, {{w.matrix, y.view(), true}});
      std::vector<float> expected = from_device(*device, product.view());
      for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = before[i] + expected[i];
      EXPECT_TRUE(same_bits(expected, from_device(*device, y.view())));
    }
  }
}

TEST(Device, NewContentReplacesTheFormsOfTheOld) {
  Random random(4);
  const auto device = make_cpu_device(1);
  const Weight w = random_weight(quant::Type::Q4_K, 16, 256, random);
  const auto input = device->make_activations(1, 512);
  const Buffer y = device->allocate(1, 16);
  const std::vector<float> second = random_values(256, random);
  device->assign(to_device(*device, random_values(256, random), 1).view(), *input);
  device->matmul(*input, {{w.matrix, y.view()}});
  const std::vector<float> first_result = from_device(*device, y.view());
  device->assign(to_device(*device, second, 1).view(), *input);
  device->matmul(*input, {{w.matrix, y.view()}});
  EXPECT_FALSE(same_bits(first_result, from_device(*device, y.view())));
}

TEST(Device, MultipliesWhatCanBeDecodedAndNothingElse) {
  for (std::uint32_t number = 0; number < 64; ++number) {
    const auto type = static_cast<quant::Type>(number);
    EXPECT_EQ(can_multiply(type), quant::can_decode(type)) << number;
  }
}

TEST(Device, MeasuresWhatItCanDo) {
  const auto device = make_cpu_device(2);
  for (int i = 0; i < 2; ++i) {
    const Rates rates = device->measure_rates(1 << 20);
    EXPECT_GT(rates.bytes_per_second, 1e7);
    EXPECT_GT(rates.int8_per_second, 1e6);
    EXPECT_GT(rates.float_per_second, 1e6);
    EXPECT_NE(rates.instructions, "");
  }
}

TEST(Device, EmbedDecodesRowsAndGatherCopiesThem) {
  Random random(5);
  const auto device = make_cpu_device(2);
  const Weight table = random_weight(quant::Type::Q6_K, 20, 256, random);
  const std::vector<std::uint32_t> tokens = {19, 0, 7, 7};
  const Buffer x = device->allocate(4, 256);
  device->embed(table.matrix, tokens, x.view());
  const std::size_t row_bytes = table.bytes.size() / 20;
  for (std::size_t i = 0; i < 4; ++i) {
    std::vector<float> row(256);
    quant::decode(quant::Type::Q6_K, std::span(table.bytes).subspan(tokens[i] * row_bytes, row_bytes), row);
    EXPECT_EQ(from_device(*device, x.view().row(i)), row);
  }
  const std::vector<std::size_t> rows = {2, 0};
  const Buffer y = device->allocate(2, 256);
  device->gather(x.view(), rows, y.view());
  EXPECT_EQ(from_device(*device, y.view().row(0)), from_device(*device, x.view().row(2)));
  EXPECT_EQ(from_device(*device, y.view().row(1)), from_device(*device, x.view().row(0)));
}

}  // namespace
}  // namespace compute::cpu::test
