// Attention on the GPU, carried out on the processor, against softmax(q · kᵀ / √head_size) · v in double.
#include "compute/cuda/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/memory.h"
#include "compute/cuda/attention_test_support.h"
#include "quant/half.h"

namespace compute::cuda {
namespace {

using namespace test;

const std::vector<std::size_t> border_positions = {0, 1, 5, 63, 64, 65, 127, 128, 255, 256, 330, 511, 520};

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
      EXPECT_TRUE(cache.bytes() == generation.stored(1, before));
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
