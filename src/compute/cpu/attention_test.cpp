// Attention over paged keys and values: the scalar kernels against double, everything else against the scalar bits.
#include <limits>

#include "base/memory.h"
#include "compute/cpu/test_support.h"

namespace compute::cpu::test {
namespace {

// A sequence: its pages, and its keys and values as they were before they were stored.
struct Sequence {
  Sequence(const KvShape& kv_shape, std::size_t length, Random& random)
      : shape(kv_shape), cols(kv_shape.kv_heads * kv_shape.head_size) {
    const std::size_t page_count = (length + page_positions - 1) / page_positions;
    memory = base::AlignedBuffer<std::byte>(page_count * shape.page_bytes());
    // What was never written must never matter.
    std::memset(memory.data(), 0xff, memory.size());
    for (std::size_t i = 0; i < page_count; ++i) pages.push_back(memory.data() + i * shape.page_bytes());
    for (std::size_t layer = 0; layer < shape.layers; ++layer) {
      keys.push_back(random_values(length * cols, random));
      values.push_back(random_values(length * cols, random));
    }
  }

  void store(Device& device) {
    const std::size_t length = keys[0].size() / cols;
    std::vector<KvRow> rows;
    for (std::size_t p = 0; p < length; ++p) rows.push_back({pages, p});
    for (std::size_t layer = 0; layer < shape.layers; ++layer) {
      device.store_kv(shape, layer, to_device(device, keys[layer], length).view(),
                      to_device(device, values[layer], length).view(), rows);
    }
  }

  KvShape shape;
  std::size_t cols;
  base::AlignedBuffer<std::byte> memory;
  std::vector<std::byte*> pages;
  std::vector<std::vector<float>> keys;
  std::vector<std::vector<float>> values;
};

std::vector<float> attend(Device& device, const KvShape& shape, std::size_t layer, std::span<const float> q,
                          std::span<const KvRow> rows) {
  const Buffer queries = to_device(device, q, rows.size());
  const auto out = device.make_activations(rows.size(), queries.view().cols);
  device.attention(shape, layer, queries.view(), rows, *out);
  return contents(device, *out);
}

float as_cached(float x, quant::Type type) {
  return type == quant::Type::F16 ? quant::half_to_float(quant::float_to_half(x)) : x;
}

class ByCache : public testing::TestWithParam<quant::Type> {};

TEST_P(ByCache, ScalarAgreesWithDouble) {
  Random random(1);
  const KvShape shape{.layers = 2, .kv_heads = 2, .head_size = 32, .type = GetParam()};
  const std::size_t group = 3;
  const auto device = make_cpu_device(2, Isa::Scalar);
  Sequence sequence(shape, 1100, random);
  sequence.store(*device);
  for (const std::size_t position : {0, 1, 63, 64, 65, 127, 511, 512, 513, 1023, 1024, 1099}) {
    const std::size_t layer = position % 2;
    const std::size_t heads = group * shape.kv_heads;
    const std::vector<float> q = random_values(heads * shape.head_size, random);
    const KvRow row{sequence.pages, position};
    const std::vector<float> y = attend(*device, shape, layer, q, {&row, 1});
    for (std::size_t head = 0; head < heads; ++head) {
      const std::size_t kv = head / group * shape.head_size;
      std::vector<double> p(position + 1);
      double max = -1e300;
      for (std::size_t j = 0; j <= position; ++j) {
        double dot = 0;
        for (std::size_t d = 0; d < shape.head_size; ++d) {
          dot += double{q[head * shape.head_size + d]} *
                 double{as_cached(sequence.keys[layer][j * sequence.cols + kv + d], shape.type)};
        }
        p[j] = dot / std::sqrt(static_cast<double>(shape.head_size));
        max = std::max(max, p[j]);
      }
      double sum = 0;
      for (double& v : p) sum += v = std::exp(v - max);
      for (std::size_t d = 0; d < shape.head_size; ++d) {
        double exact = 0;
        double magnitude = 0;
        for (std::size_t j = 0; j <= position; ++j) {
          const double v = double{as_cached(sequence.values[layer][j * sequence.cols + kv + d], shape.type)};
          exact += p[j] / sum * v;
          magnitude += p[j] / sum * std::fabs(v);
        }
        // Scores reach hundreds with these outliers; their rounding, not that of the sums, decides.
        ASSERT_NEAR(y[head * shape.head_size + d], exact, 1e-4 * magnitude + 1e-6) << position;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, ByCache, testing::Values(quant::Type::F16, quant::Type::F32),
                         [](const auto& test) { return std::string(quant::type_info(test.param)->name); });

class ByIsaAndCache : public testing::TestWithParam<std::tuple<Isa, quant::Type>> {};

TEST_P(ByIsaAndCache, GivesTheScalarBitsAtEveryDepthAndBatch) {
  const auto [isa, type] = GetParam();
  SMOLLM3_NEED_ISA(isa);
  Random random(2);
  const auto scalar = make_cpu_device(2, Isa::Scalar);
  struct Case {
    std::size_t kv_heads, group, head_size;
  };
  for (const auto& [kv_heads, group, head_size] : {Case{1, 4, 64}, Case{2, 1, 16}, Case{2, 3, 48}, Case{1, 7, 128}}) {
    const KvShape shape{.layers = 1, .kv_heads = kv_heads, .head_size = head_size, .type = type};
    Sequence by_scalar(shape, 600, random);
    by_scalar.store(*scalar);
    Sequence by_vector(shape, 600, random);
    by_vector.keys = by_scalar.keys;
    by_vector.values = by_scalar.values;
    by_vector.store(*make_cpu_device(2, isa));
    ASSERT_EQ(std::memcmp(by_scalar.memory.data(), by_vector.memory.data(), by_scalar.memory.size()), 0);
    // The last 90 positions in one batch, which crosses 512, in several cuts, and some of them alone.
    const std::size_t cols = kv_heads * group * head_size;
    const std::vector<float> q = random_values(90 * cols, random);
    std::vector<KvRow> rows;
    for (std::size_t p = 510; p < 600; ++p) rows.push_back({by_scalar.pages, p});
    const std::vector<float> expected = attend(*scalar, shape, 0, q, rows);
    for (int threads = 1; threads <= 4; ++threads) {
      const auto device = make_cpu_device(threads, isa);
      ASSERT_TRUE(same_bits(expected, attend(*device, shape, 0, q, rows)));
      for (const std::size_t i : {0, 1, 2, 3, 66, 67, 89}) {
        ASSERT_TRUE(
            same_bits(std::span(expected).subspan(i * cols, cols),
                      attend(*device, shape, 0, std::span(q).subspan(i * cols, cols), std::span(rows).subspan(i, 1))));
      }
    }
  }
}

TEST_P(ByIsaAndCache, RowsOfSeveralSequencesDoNotMeet) {
  const auto [isa, type] = GetParam();
  SMOLLM3_NEED_ISA(isa);
  Random random(3);
  const auto device = make_cpu_device(3, isa);
  const KvShape shape{.layers = 1, .kv_heads = 2, .head_size = 32, .type = type};
  std::vector<Sequence> sequences;
  for (const std::size_t length : {1, 64, 65, 700, 1300}) {
    sequences.emplace_back(shape, length, random);
    sequences.back().store(*device);
  }
  std::vector<KvRow> rows;
  for (const std::size_t which : {3, 0, 4, 1, 2, 4}) {
    const std::size_t length = sequences[which].keys[0].size() / sequences[which].cols;
    rows.push_back({sequences[which].pages, rows.size() < 5 ? length - 1 : length / 2});
  }
  const std::size_t cols = 4 * 32;
  const std::vector<float> q = random_values(rows.size() * cols, random);
  const std::vector<float> together = attend(*device, shape, 0, q, rows);
  const auto scalar = make_cpu_device(1, Isa::Scalar);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::vector<float> alone =
        attend(*scalar, shape, 0, std::span(q).subspan(i * cols, cols), std::span(rows).subspan(i, 1));
    EXPECT_TRUE(same_bits(alone, std::span(together).subspan(i * cols, cols))) << i;
  }
}

TEST_P(ByIsaAndCache, NotANumberStaysOne) {
  const auto [isa, type] = GetParam();
  SMOLLM3_NEED_ISA(isa);
  Random random(4);
  const auto device = make_cpu_device(1, isa);
  const KvShape shape{.layers = 1, .kv_heads = 1, .head_size = 32, .type = type};
  Sequence sequence(shape, 100, random);
  sequence.keys[0][40 * 32 + 3] = std::numeric_limits<float>::quiet_NaN();
  sequence.store(*device);
  const std::vector<float> q(32, 1.0F);
  for (const std::size_t position : {39, 40, 99}) {
    const KvRow row{sequence.pages, position};
    for (const float v : attend(*device, shape, 0, q, {&row, 1})) EXPECT_EQ(std::isnan(v), position >= 40) << position;
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, ByIsaAndCache,
                         testing::Combine(testing::ValuesIn(vector_isas()),
                                          testing::Values(quant::Type::F16, quant::Type::F32)),
                         [](const auto& test) {
                           return isa_name(std::get<0>(test.param)) + "_" +
                                  std::string(quant::type_info(std::get<1>(test.param))->name);
                         });

}  // namespace
}  // namespace compute::cpu::test
