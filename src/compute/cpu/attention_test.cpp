// Attention over paged keys and values: the scalar kernels against double, everything else against the scalar bits.
#include <algorithm>
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

// Fast mode, on machines that have one.
class Fast : public testing::TestWithParam<quant::Type> {
 protected:
  void SetUp() override { SMOLLM3_NEED_ISA(Isa::Amx); }

  static std::unique_ptr<Device> fast_device(int threads) {
    auto device = make_cpu_device(threads, Isa::Amx);
    device->set_precision(Precision::Fast);
    return device;
  }
};

// Normal values, with some large: what attention meets in a trained model, and scores that stay within tens.
std::vector<float> moderate_values(std::size_t count, Random& random) {
  std::normal_distribution<float> normal;
  std::vector<float> x(count);
  for (float& v : x) v = normal(random) * (random() % 100 == 0 ? 4.0F : 1.0F);
  return x;
}

std::vector<KvRow> rows_of(const Sequence& sequence, std::size_t first, std::size_t end) {
  std::vector<KvRow> rows;
  for (std::size_t p = first; p < end; ++p) rows.push_back({sequence.pages, p});
  return rows;
}

// With scores x of queries and keys rounded to BF16 (2⁻⁹ each), a weight is off by at most e^(2⁻⁸ Σ|q k| · scale): the
// bound follows from that, and from the rounding of weights and values.
TEST_P(Fast, AgreesWithDouble) {
  Random random(5);
  struct Case {
    std::size_t kv_heads, group, head_size;
  };
  for (const auto& [kv_heads, group, head_size] : {Case{1, 4, 128}, Case{2, 3, 48}, Case{2, 1, 16}, Case{1, 7, 64}}) {
    const KvShape shape{.layers = 2, .kv_heads = kv_heads, .head_size = head_size, .type = GetParam()};
    const auto device = fast_device(2);
    Sequence sequence(shape, 1100, random);
    for (std::size_t layer = 0; layer < 2; ++layer) {
      sequence.keys[layer] = moderate_values(sequence.keys[layer].size(), random);
      sequence.values[layer] = moderate_values(sequence.values[layer].size(), random);
    }
    sequence.store(*device);
    const std::size_t cols = kv_heads * group * head_size;
    for (const auto& [first, end] :
         {std::pair<std::size_t, std::size_t>{0, 90}, {500, 530}, {1023, 1025}, {1099, 1100}}) {
      const std::vector<float> q = moderate_values((end - first) * cols, random);
      const std::vector<float> y = attend(*device, shape, 1, q, rows_of(sequence, first, end));
      for (std::size_t i = 0; i < end - first; ++i) {
        const std::size_t position = first + i;
        for (std::size_t head = 0; head < kv_heads * group; ++head) {
          const std::size_t kv = head / group * head_size;
          const float* query = &q[i * cols + head * head_size];
          const double scale = 1 / std::sqrt(static_cast<double>(head_size));
          std::vector<double> p(position + 1);
          double max = -1e300;
          double worst = 0;  // of the scores' errors
          for (std::size_t j = 0; j <= position; ++j) {
            double size = 0;
            for (std::size_t d = 0; d < head_size; ++d) {
              const double product =
                  double{query[d]} * double{as_cached(sequence.keys[1][j * sequence.cols + kv + d], shape.type)};
              p[j] += product * scale;
              size += product * product;
            }
            max = std::max(max, p[j]);
            // Roundings of d independent products: four standard deviations of their sum.
            worst = std::max(worst, 4 * std::sqrt(size) * scale / 512);
          }
          double sum = 0;
          for (double& v : p) sum += v = std::exp(v - max);
          for (std::size_t d = 0; d < head_size; ++d) {
            double exact = 0;
            double magnitude = 0;
            for (std::size_t j = 0; j <= position; ++j) {
              const double v = double{as_cached(sequence.values[1][j * sequence.cols + kv + d], shape.type)};
              exact += p[j] / sum * v;
              magnitude += p[j] / sum * std::fabs(v);
            }
            ASSERT_NEAR(y[i * cols + head * head_size + d], exact, (2 * worst + 1.0 / 128) * magnitude) << position;
          }
        }
      }
    }
  }
}

// 1.006 lies between the BF16 numbers 1 and 1.0078125, nearer to the second: with equal scores the result is that
// number, which the bound above would not tell from the other.
TEST_P(Fast, RoundsToTheNearest) {
  Random random(6);
  const KvShape shape{.layers = 1, .kv_heads = 1, .head_size = 32, .type = GetParam()};
  const auto device = fast_device(1);
  Sequence sequence(shape, 100, random);
  std::ranges::fill(sequence.keys[0], 0.0F);
  std::ranges::fill(sequence.values[0], 1.006F);
  sequence.store(*device);
  const std::vector<float> q(100 * 32, 1.0F);
  for (const float y : attend(*device, shape, 0, q, rows_of(sequence, 0, 100))) ASSERT_NEAR(y, 1.0078125F, 1e-4F);
}

TEST_P(Fast, BitsDependNeitherOnTheCutNorOnThreads) {
  Random random(6);
  for (const auto& [kv_heads, group, head_size] :
       {std::tuple<std::size_t, std::size_t, std::size_t>{1, 4, 128}, {2, 3, 48}}) {
    const KvShape shape{.layers = 1, .kv_heads = kv_heads, .head_size = head_size, .type = GetParam()};
    Sequence sequence(shape, 620, random);
    sequence.store(*fast_device(1));
    const std::size_t cols = kv_heads * group * head_size;
    const std::vector<KvRow> rows = rows_of(sequence, 470, 620);
    const std::vector<float> q = random_values(rows.size() * cols, random);
    const std::vector<float> expected = attend(*fast_device(1), shape, 0, q, rows);
    for (const int threads : {2, 3}) {
      ASSERT_TRUE(same_bits(expected, attend(*fast_device(threads), shape, 0, q, rows))) << threads;
    }
    const auto device = fast_device(2);
    for (const std::size_t cut : {1, 5, 53, 149}) {
      for (std::size_t i = 0; i < rows.size(); i += cut == 1 ? 19 : cut) {
        const std::size_t count = std::min(cut, rows.size() - i);
        ASSERT_TRUE(same_bits(
            std::span(expected).subspan(i * cols, count * cols),
            attend(*device, shape, 0, std::span(q).subspan(i * cols, count * cols), std::span(rows).subspan(i, count))))
            << cut << " from " << i;
      }
    }
  }
}

// What lies behind a row's position, written later or never, must not reach it, not even as 0 · NaN.
TEST_P(Fast, NotANumberReachesThoseWhoSeeIt) {
  Random random(7);
  const auto device = fast_device(2);
  const KvShape shape{.layers = 1, .kv_heads = 1, .head_size = 32, .type = GetParam()};
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const bool in_key : {true, false}) {
      Sequence sequence(shape, 600, random);
      const std::vector<float> q(600 * 64, 1.0F);
      (in_key ? sequence.keys : sequence.values)[0][550 * 32 + 3] = bad;
      sequence.store(*device);
      const std::vector<float> y = attend(*device, shape, 0, q, rows_of(sequence, 0, 600));
      for (std::size_t i = 0; i < y.size(); ++i) ASSERT_EQ(std::isnan(y[i]), i / 64 >= 550) << i / 64;
    }
  }
}

TEST_P(Fast, RowsOfSeveralPromptsDoNotMeet) {
  Random random(8);
  const auto device = fast_device(3);
  const KvShape shape{.layers = 1, .kv_heads = 2, .head_size = 64, .type = GetParam()};
  const std::size_t cols = 4 * 64;
  Sequence one(shape, 100, random);
  Sequence other(shape, 700, random);
  one.store(*device);
  other.store(*device);
  std::vector<KvRow> rows = rows_of(one, 0, 100);
  for (const KvRow& row : rows_of(other, 650, 700)) rows.push_back(row);
  rows.push_back(rows[3]);
  const std::vector<float> q = random_values(rows.size() * cols, random);
  const std::vector<float> together = attend(*device, shape, 0, q, rows);
  for (const std::size_t i : {0, 63, 64, 99, 100, 149, 150}) {
    const std::vector<float> alone =
        attend(*device, shape, 0, std::span(q).subspan(i * cols, cols), std::span(rows).subspan(i, 1));
    EXPECT_TRUE(same_bits(alone, std::span(together).subspan(i * cols, cols))) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Fast, testing::Values(quant::Type::F16, quant::Type::F32),
                         [](const auto& test) { return std::string(quant::type_info(test.param)->name); });

}  // namespace
}  // namespace compute::cpu::test
