// Attention on the GPU, carried out on the processor, against softmax(q · kᵀ / √head_size) · v in double.
#include "compute/cuda/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "base/memory.h"
#include "quant/half.h"

namespace compute::cuda {
namespace {

using Random = std::mt19937;

std::vector<float> random_values(std::size_t count, Random& random, float deviation = 1) {
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// Sequences whose pages lie in memory in random order. What was never written is NaN and must never matter.
class Cache {
 public:
  Cache(const KvShape& shape, const std::vector<std::size_t>& lengths, Random& random) : shape_(shape) {
    for (const std::size_t length : lengths) {
      first_pages_.push_back(static_cast<std::uint32_t>(page_count_));
      page_count_ += (length + page_positions - 1) / page_positions;
    }
    memory_ = base::AlignedBuffer<std::byte>(page_count_ * shape.page_bytes());
    std::memset(memory_.data(), 0xff, memory_.size());
    std::vector<std::size_t> order(page_count_);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    for (const std::size_t i : order) pages_.push_back(memory_.data() + i * shape.page_bytes());
  }

  const KvShape& shape() const { return shape_; }
  std::byte* const* pages() const { return pages_.data(); }
  std::uint32_t first_page(std::size_t sequence) const { return first_pages_[sequence]; }
  std::vector<std::byte> bytes() const { return {memory_.data(), memory_.data() + memory_.size()}; }

  // Random keys and values at positions 0 to length - 1 of a sequence.
  void fill(std::size_t layer, std::size_t sequence, std::size_t length, Random& random) {
    std::normal_distribution<float> normal;
    for (std::size_t position = 0; position < length; ++position) {
      for (std::size_t head = 0; head < shape_.kv_heads; ++head) {
        for (std::size_t d = 0; d < shape_.head_size; ++d) {
          write(key_at(layer, sequence, position, head, d), normal(random));
          write(value_at(layer, sequence, position, head, d), normal(random));
        }
      }
    }
  }

  std::byte* key_at(std::size_t layer, std::size_t sequence, std::size_t position, std::size_t head,
                    std::size_t d) const {
    return page(sequence, position) + shape_.key_offset(layer, head) +
           (position % page_positions * shape_.head_size + d) * shape_.element_bytes();
  }
  std::byte* value_at(std::size_t layer, std::size_t sequence, std::size_t position, std::size_t head,
                      std::size_t d) const {
    const std::size_t slot = position % page_positions;
    const std::size_t index = shape_.type == quant::Type::F16 ? d * page_positions + slot : slot * shape_.head_size + d;
    return page(sequence, position) + shape_.value_offset(layer, head) + index * shape_.element_bytes();
  }
  void write(std::byte* to, float x) const {
    const std::uint16_t half = quant::float_to_half(x);
    std::memcpy(to, shape_.type == quant::Type::F16 ? static_cast<const void*>(&half) : &x, shape_.element_bytes());
  }
  double read(const std::byte* from) const {
    std::uint16_t half;
    float x;
    std::memcpy(&half, from, sizeof half);
    std::memcpy(&x, from, shape_.element_bytes());
    return static_cast<double>(shape_.type == quant::Type::F16 ? quant::half_to_float(half) : x);
  }

 private:
  std::byte* page(std::size_t sequence, std::size_t position) const {
    return pages_[first_pages_[sequence] + position / page_positions];
  }

  KvShape shape_;
  std::size_t page_count_ = 0;
  std::vector<std::uint32_t> first_pages_;
  base::AlignedBuffer<std::byte> memory_;
  std::vector<std::byte*> pages_;
};

// Rows of a batch and what is computed for them, with gaps between the rows.
struct Batch {
  Batch(const Cache& batch_cache, std::size_t batch_group, Random& batch_random)
      : cache(batch_cache), random(batch_random), heads(batch_group * cache.shape().kv_heads) {}

  void add(std::size_t sequence, std::size_t row_position) {
    sequences.push_back(sequence);
    position.push_back(static_cast<std::uint32_t>(row_position));
    first_page.push_back(cache.first_page(sequence));
  }

  std::size_t rows() const { return position.size(); }
  std::size_t cols() const { return heads * cache.shape().head_size; }
  std::size_t stride() const { return cols() + 8; }

  void make_queries(float deviation = 1) { q = random_values(rows() * stride(), random, deviation); }

  AttentionInput input(std::size_t layer) const {
    return {.shape = cache.shape(),
            .layer = layer,
            .rows = rows(),
            .heads = heads,
            .q = q.data(),
            .q_stride = stride(),
            .table = {.position = position.data(), .first_page = first_page.data(), .pages = cache.pages()}};
  }
  AttentionOutput output() {
    floats.assign(rows() * stride(), 77);
    halves.assign(rows() * stride(), __half(77.0F));
    return {.floats = floats.data(), .float_stride = stride(), .halves = halves.data(), .half_stride = stride()};
  }
  float result(std::size_t row, std::size_t head, std::size_t d) const {
    return floats[row * stride() + head * cache.shape().head_size + d];
  }

  // The largest error, or NaN. Halves must be the floats rounded, and what is beside the rows must be as it was.
  double error(std::size_t layer, const std::vector<double>& queries) const {
    const KvShape& shape = cache.shape();
    const std::size_t group = heads / shape.kv_heads;
    double worst = 0;
    for (std::size_t row = 0; row < rows(); ++row) {
      for (std::size_t head = 0; head < heads; ++head) {
        const std::vector<double> want =
            reference(layer, row, head / group, queries.data() + row * stride() + head * shape.head_size);
        for (std::size_t d = 0; d < shape.head_size; ++d) {
          const double difference = std::abs(static_cast<double>(result(row, head, d)) - want[d]);
          if (std::isnan(difference)) return difference;
          worst = std::max(worst, difference);
        }
      }
      for (std::size_t i = 0; i < stride(); ++i) {
        const float y = floats[row * stride() + i];
        EXPECT_EQ(__half2float(halves[row * stride() + i]), quant::half_to_float(quant::float_to_half(y)));
        if (i >= cols()) {
          EXPECT_EQ(y, 77);
        }
      }
    }
    return worst;
  }
  double error(std::size_t layer) const { return error(layer, {q.begin(), q.end()}); }

  std::vector<double> reference(std::size_t layer, std::size_t row, std::size_t kv_head, const double* query) const {
    const std::size_t head_size = cache.shape().head_size;
    std::vector<double> score(position[row] + 1);
    double max = -std::numeric_limits<double>::infinity();
    for (std::size_t j = 0; j < score.size(); ++j) {
      for (std::size_t d = 0; d < head_size; ++d) {
        score[j] += query[d] * cache.read(cache.key_at(layer, sequences[row], j, kv_head, d));
      }
      score[j] /= std::sqrt(static_cast<double>(head_size));
      max = std::max(max, score[j]);
    }
    double sum = 0;
    std::vector<double> out(head_size);
    for (std::size_t j = 0; j < score.size(); ++j) {
      const double p = std::exp(score[j] - max);
      sum += p;
      for (std::size_t d = 0; d < head_size; ++d) {
        out[d] += p * cache.read(cache.value_at(layer, sequences[row], j, kv_head, d));
      }
    }
    for (double& x : out) x /= sum;
    return out;
  }

  const Cache& cache;
  Random& random;
  std::size_t heads;
  std::vector<std::size_t> sequences;
  std::vector<std::uint32_t> position;
  std::vector<std::uint32_t> first_page;
  std::vector<float> q;
  std::vector<float> floats;
  std::vector<__half> halves;
};

// Keys and values that a batch of generation brings, and what must be in the cache and in the queries after it.
struct Generation {
  Generation(const Batch& generation_batch, bool rope) : batch(generation_batch) {
    const KvShape& shape = batch.cache.shape();
    stride = shape.kv_heads * shape.head_size + 4;
    k = random_values(batch.rows() * stride, batch.random);
    v = random_values(batch.rows() * stride, batch.random);
    if (rope) {
      std::uniform_real_distribution<double> angle(0, 6);
      for (std::size_t i = 0; i < batch.rows() * shape.head_size / 2; ++i) {
        const double x = angle(batch.random);
        cos_sin.push_back(static_cast<float>(std::cos(x)));
        cos_sin.push_back(static_cast<float>(std::sin(x)));
      }
    }
  }

  NewKeys keys() const {
    return {.k = k.data(),
            .k_stride = stride,
            .v = v.data(),
            .v_stride = stride,
            .cos_sin = cos_sin.empty() ? nullptr : cos_sin.data()};
  }

  // Element d of a head of row `row`, turned.
  template <typename T>
  T turned(const float* head, std::size_t row, std::size_t d) const {
    if (cos_sin.empty()) return head[d];
    const float* pair = cos_sin.data() + row * batch.cache.shape().head_size + d / 2 * 2;
    const T a = head[d / 2 * 2];
    const T b = head[d / 2 * 2 + 1];
    const T c = pair[0];
    const T s = pair[1];
    return d % 2 == 0 ? std::fma(a, c, -(b * s)) : std::fma(b, c, a * s);
  }

  std::vector<double> turned_queries() const {
    const std::size_t head_size = batch.cache.shape().head_size;
    std::vector<double> q(batch.q.size());
    for (std::size_t i = 0; i < q.size(); ++i) {
      const std::size_t column = i % batch.stride();
      if (column >= batch.cols()) continue;
      q[i] = turned<double>(batch.q.data() + i - column % head_size, i / batch.stride(), column % head_size);
    }
    return q;
  }

  // The cache holds what it did, but for the new positions.
  void expect_stored(std::size_t layer, std::vector<std::byte> before) const {
    const Cache& cache = batch.cache;
    const KvShape& shape = cache.shape();
    const std::byte* base = *std::min_element(cache.pages(), cache.pages() + before.size() / shape.page_bytes());
    const auto put = [&](const std::byte* at, float x) {
      const std::uint16_t half = quant::float_to_half(x);
      std::memcpy(before.data() + (at - base), &half, sizeof half);
    };
    for (std::size_t row = 0; row < batch.rows(); ++row) {
      for (std::size_t head = 0; head < shape.kv_heads; ++head) {
        const std::size_t column = row * stride + head * shape.head_size;
        for (std::size_t d = 0; d < shape.head_size; ++d) {
          const std::size_t p = batch.position[row];
          put(cache.key_at(layer, batch.sequences[row], p, head, d), turned<float>(k.data() + column, row, d));
          put(cache.value_at(layer, batch.sequences[row], p, head, d), v[column + d]);
        }
      }
    }
    EXPECT_TRUE(cache.bytes() == before);
  }

  const Batch& batch;
  std::size_t stride = 0;
  std::vector<float> k;
  std::vector<float> v;
  std::vector<float> cos_sin;
};

const std::vector<std::size_t> border_positions = {0, 1, 5, 63, 64, 65, 127, 128, 255, 256, 330, 511, 520};

// Of each sequence one row at its last position.
void add_last_positions(Batch& batch, const std::vector<std::size_t>& positions) {
  for (std::size_t i = 0; i < positions.size(); ++i) batch.add(i, positions[i]);
}

std::vector<std::size_t> lengths_of(const std::vector<std::size_t>& positions) {
  std::vector<std::size_t> lengths;
  for (const std::size_t position : positions) lengths.push_back(position + 1);
  return lengths;
}

TEST(CudaAttendPlain, AgreesWithDouble) {
  Random random(1);
  struct Case {
    std::size_t head_size;
    std::size_t kv_heads;
    std::size_t group;
    float deviation;  // of queries: 20 makes softmax choose
  };
  for (const auto [head_size, kv_heads, group, deviation] :
       {Case{16, 2, 1, 1}, Case{64, 3, 2, 1}, Case{80, 1, 5, 1}, Case{128, 2, 4, 20}, Case{512, 1, 3, 1}}) {
    for (const quant::Type type : {quant::Type::F16, quant::Type::F32}) {
      const KvShape shape{.layers = 2, .kv_heads = kv_heads, .head_size = head_size, .type = type};
      const std::vector<std::size_t> positions = {0, 1, 63, 64, 130, 300};
      Cache cache(shape, lengths_of(positions), random);
      for (std::size_t i = 0; i < positions.size(); ++i) cache.fill(1, i, positions[i] + 1, random);
      Batch batch(cache, group, random);
      add_last_positions(batch, positions);
      batch.add(5, 17);  // not the last of its sequence
      batch.make_queries(deviation);
      attend_plain(nullptr, batch.input(1), batch.output());
      EXPECT_LT(batch.error(1), 1e-6 * static_cast<double>(deviation)) << head_size << ' ' << group;
    }
  }
}

TEST(CudaAttendDecode, AgreesWithDoubleForAnyShare) {
  Random random(2);
  struct Case {
    std::size_t head_size;
    std::size_t kv_heads;
    std::size_t group;
    std::size_t splits;
    bool rope;
  };
  for (const auto [head_size, kv_heads, group, splits, rope] :
       {Case{128, 2, 4, 1, true}, Case{128, 1, 4, 2, true}, Case{128, 1, 4, 3, false}, Case{128, 1, 1, 5, true},
        Case{128, 1, 8, 8, true}, Case{128, 1, 11, 4, true}, Case{64, 2, 2, 1, true}, Case{64, 1, 2, 6, false},
        Case{64, 2, 4, 7, true}, Case{64, 1, 16, 40, true}}) {
    const KvShape shape{.layers = 2, .kv_heads = kv_heads, .head_size = head_size};
    Cache cache(shape, lengths_of(border_positions), random);
    for (std::size_t i = 0; i < border_positions.size(); ++i) cache.fill(1, i, border_positions[i], random);
    Batch batch(cache, group, random);
    add_last_positions(batch, border_positions);
    batch.make_queries();
    const Generation generation(batch, rope);
    const std::vector<std::byte> before = cache.bytes();
    base::AlignedBuffer<std::byte> workspace(decode_workspace_bytes(batch.rows(), batch.heads, head_size, splits));
    std::fill_n(workspace.data(), workspace.size(), std::byte{0});
    // Where there is a workspace twice: the first time must leave it fit for the second.
    for (int i = 0; i < (splits > 1 ? 2 : 1); ++i) {
      attend_decode(nullptr, batch.input(1), generation.keys(), batch.output(), splits, workspace.data());
      generation.expect_stored(1, before);
      EXPECT_LT(batch.error(1, generation.turned_queries()), 2e-6) << head_size << ' ' << group << ' ' << splits;
    }
  }
}

TEST(CudaAttendDecode, SharesItsWorkspaceBetweenBatchesOfAnyShape) {
  Random random(3);
  const KvShape shape{.layers = 1, .kv_heads = 1, .head_size = 64};
  const std::vector<std::size_t> positions = {330, 400, 511, 650};
  Cache cache(shape, lengths_of(positions), random);
  for (std::size_t i = 0; i < positions.size(); ++i) cache.fill(0, i, positions[i], random);
  base::AlignedBuffer<std::byte> workspace(decode_workspace_bytes(4, 2, 64, 8));
  std::fill_n(workspace.data(), workspace.size(), std::byte{0});
  for (const std::size_t rows : {1, 4, 2, 4}) {
    for (const std::size_t splits : {8, 3}) {
      Batch batch(cache, 2, random);
      for (std::size_t i = 0; i < rows; ++i) batch.add(i, positions[i]);
      batch.make_queries();
      const Generation generation(batch, true);
      attend_decode(nullptr, batch.input(0), generation.keys(), batch.output(), splits, workspace.data());
      EXPECT_LT(batch.error(0, generation.turned_queries()), 2e-6) << rows << ' ' << splits;
    }
  }
}

TEST(CudaAttendDecode, SharesALongSequenceAmongManyBlocks) {
  Random random(8);
  const KvShape shape{.layers = 1, .kv_heads = 1, .head_size = 64};
  Cache cache(shape, {4501}, random);
  cache.fill(0, 0, 4500, random);
  Batch batch(cache, 2, random);
  batch.add(0, 4500);
  batch.make_queries(2);
  const Generation generation(batch, true);
  for (const std::size_t splits : {34, 200}) {
    base::AlignedBuffer<std::byte> workspace(decode_workspace_bytes(1, 2, 64, splits));
    std::fill_n(workspace.data(), workspace.size(), std::byte{0});
    attend_decode(nullptr, batch.input(0), generation.keys(), batch.output(), splits, workspace.data());
    EXPECT_LT(batch.error(0, generation.turned_queries()), 2e-6) << splits;
  }
}

TEST(CudaAttendDecode, ChoosesSharply) {
  Random random(4);
  const KvShape shape{.layers = 1, .kv_heads = 2, .head_size = 128};
  const std::vector<std::size_t> positions = {40, 200, 600};
  Cache cache(shape, lengths_of(positions), random);
  for (std::size_t i = 0; i < positions.size(); ++i) cache.fill(0, i, positions[i], random);
  Batch batch(cache, 4, random);
  add_last_positions(batch, positions);
  batch.make_queries(50);  // scores to ±150
  const Generation generation(batch, true);
  base::AlignedBuffer<std::byte> workspace(decode_workspace_bytes(3, 8, 128, 4));
  std::fill_n(workspace.data(), workspace.size(), std::byte{0});
  attend_decode(nullptr, batch.input(0), generation.keys(), batch.output(), 4, workspace.data());
  EXPECT_LT(batch.error(0, generation.turned_queries()), 5e-5);
}

// Queries as the first operand has them: scaled for scores in base 2 and rounded to halves.
std::vector<double> rounded_queries(const Batch& batch) {
  const double scale = std::log2(std::exp(1.0)) / std::sqrt(static_cast<double>(batch.cache.shape().head_size));
  std::vector<double> q(batch.q.size());
  for (std::size_t i = 0; i < q.size(); ++i) {
    q[i] =
        static_cast<double>(quant::half_to_float(quant::float_to_half(batch.q[i] * static_cast<float>(scale)))) / scale;
  }
  return q;
}

struct Prompt {
  std::size_t first_position;
  std::size_t rows;
};

// Sequences of which each adds a prompt to what it has.
void expect_prompts(std::size_t head_size, std::size_t kv_heads, std::size_t group, const std::vector<Prompt>& prompts,
                    float deviation, double bound, Random& random) {
  const KvShape shape{.layers = 2, .kv_heads = kv_heads, .head_size = head_size};
  std::vector<std::size_t> lengths;
  for (const Prompt& prompt : prompts) lengths.push_back(prompt.first_position + prompt.rows);
  Cache cache(shape, lengths, random);
  Batch batch(cache, group, random);
  std::vector<AttentionTile> tiles;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    cache.fill(1, i, lengths[i], random);
    for (std::size_t row = 0; row < prompts[i].rows; ++row) {
      if (row % tile_positions == 0) {
        const std::size_t rows = std::min(tile_positions, prompts[i].rows - row);
        tiles.push_back({static_cast<std::uint32_t>(batch.rows()), static_cast<std::uint32_t>(rows)});
      }
      batch.add(i, prompts[i].first_position + row);
    }
  }
  batch.make_queries(deviation);
  for (const MatrixUnit unit : {MatrixUnit::Warp, MatrixUnit::Warpgroup}) {
    attend_prompt_with(unit, nullptr, batch.input(1), tiles.data(), tiles.size(), batch.output());
    EXPECT_LT(batch.error(1, rounded_queries(batch)), bound) << head_size << ' ' << group;
  }
}

TEST(CudaAttendPrompt, AgreesWithDouble) {
  Random random(5);
  // 2⁻¹¹ is what a weight loses, of values to ±4.
  expect_prompts(128, 1, 2, {{0, 1}, {0, 130}, {64, 64}, {63, 128}, {320, 65}, {1, 2}}, 1, 1e-3, random);
  expect_prompts(128, 2, 2, {{400, 70}, {0, 256}}, 1, 1e-3, random);
  expect_prompts(64, 2, 1, {{0, 64}, {65, 127}, {0, 200}}, 1, 1e-3, random);
  expect_prompts(64, 1, 3, {{300, 12}, {0, 63}}, 1, 1e-3, random);
}

TEST(CudaAttendPrompt, ChoosesSharply) {
  Random random(6);
  expect_prompts(128, 1, 2, {{100, 150}}, 50, 2e-3, random);
}

// One sequence of 500 positions. Key 70 of head 0 is NaN, key 0 of head 1 is −∞ for the queries, which are positive.
class CudaAttention : public testing::Test {
 protected:
  CudaAttention()
      : random(7), cache({.layers = 1, .kv_heads = 3, .head_size = 64}, {500}, random), batch(cache, 2, random) {
    cache.fill(0, 0, 500, random);
    cache.write(cache.key_at(0, 0, 70, 0, 9), std::numeric_limits<float>::quiet_NaN());
    cache.write(cache.key_at(0, 0, 0, 1, 9), -std::numeric_limits<float>::infinity());
  }

  void make_positive_queries() {
    batch.make_queries();
    for (float& x : batch.q) x = std::abs(x) + 0.1F;
  }

  void expect_nan_where_due() const {
    for (std::size_t row = 0; row < batch.rows(); ++row) {
      for (std::size_t head = 0; head < batch.heads; ++head) {
        const bool due = (head / 2 == 0 && batch.position[row] >= 70) || (head / 2 == 1 && batch.position[row] == 0);
        for (std::size_t d = 0; d < 64; ++d) {
          ASSERT_EQ(std::isnan(batch.result(row, head, d)), due) << batch.position[row] << ' ' << head;
        }
      }
    }
  }

  Random random;
  Cache cache;
  Batch batch;
};

TEST_F(CudaAttention, PlainShowsNaN) {
  for (const std::size_t position : {0, 1, 69, 70, 71, 199}) batch.add(0, position);
  make_positive_queries();
  attend_plain(nullptr, batch.input(0), batch.output());
  expect_nan_where_due();
}

TEST_F(CudaAttention, PromptShowsNaN) {
  for (std::size_t position = 0; position < 200; ++position) batch.add(0, position);
  make_positive_queries();
  const std::vector<AttentionTile> tiles = {{0, 128}, {128, 72}};
  attend_prompt(nullptr, batch.input(0), tiles.data(), tiles.size(), batch.output());
  expect_nan_where_due();
}

TEST_F(CudaAttention, DecodeShowsNaN) {
  batch.add(0, 0);
  base::AlignedBuffer<std::byte> workspace(decode_workspace_bytes(1, 6, 64, 3));
  std::fill_n(workspace.data(), workspace.size(), std::byte{0});
  for (const std::size_t position : {499, 300, 120, 90, 71, 1}) {
    batch.position[0] = static_cast<std::uint32_t>(position);
    make_positive_queries();
    const Generation generation(batch, false);
    attend_decode(nullptr, batch.input(0), generation.keys(), batch.output(), 3, workspace.data());
    expect_nan_where_due();
  }
  // The only position: its own key is −∞ of head 1.
  batch.position[0] = 0;
  Generation generation(batch, false);
  generation.k[64 + 9] = -std::numeric_limits<float>::infinity();
  attend_decode(nullptr, batch.input(0), generation.keys(), batch.output(), 1, nullptr);
  expect_nan_where_due();
}

}  // namespace
}  // namespace compute::cuda
