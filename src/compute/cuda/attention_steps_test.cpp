// RoPE, the storing of keys and values and attention as steps of a pass: what becomes one kernel, and that keys, values
// and outputs are right whatever becomes of it.
#include "compute/cuda/attention_steps.h"

#include <gtest/gtest.h>

#include <deque>
#include <utility>
#include <vector>

#include "compute/cuda/attention_test_support.h"

namespace compute::cuda {
namespace {

using namespace test;

constexpr double float_bound = 2e-6;
// Where weights and queries are rounded to halves: 2⁻¹¹ of values, and of scores, to ±4.
constexpr double half_bound = 2e-3;

struct Place {
  std::size_t sequence;
  std::size_t position;
};

Batch make_batch(const Cache& cache, const std::vector<Place>& places, Random& random) {
  Batch batch(cache, 2, random);
  for (const Place& place : places) batch.add(place.sequence, place.position);
  batch.make_queries();
  return batch;
}

// What a layer does with its rows. Queries and keys are copies, because they are turned where they lie.
struct Layer {
  Layer(const Cache& cache, std::size_t layer_index, const std::vector<Place>& places, bool with_rope, Random& random)
      : index(layer_index),
        rope(with_rope),
        batch(make_batch(cache, places, random)),
        generation(batch, rope),
        q(batch.q),
        k(generation.k),
        out(batch.rows(), batch.cols(), [] {}) {
    for (const Place& place : places) rows.push_back(cache.row(place.sequence, place.position));
  }

  const KvShape& shape() const { return batch.cache.shape(); }
  View turned_with() { return {generation.cos_sin.data(), batch.rows(), shape().head_size, shape().head_size}; }
  View keys_or_values(std::vector<float>& of) {
    return {of.data(), batch.rows(), shape().kv_heads * shape().head_size, generation.stride};
  }

  void store(AttentionSteps& steps) {
    if (rope) steps.rope(keys_or_values(k), shape().head_size, turned_with());
    steps.store_kv(shape(), index, keys_or_values(k), keys_or_values(generation.v), rows);
  }
  void attend(AttentionSteps& steps) {
    const View queries{q.data(), batch.rows(), batch.cols(), batch.stride()};
    if (rope) steps.rope(queries, shape().head_size, turned_with());
    steps.attention(shape(), index, queries, rows, out, true);
  }

  std::vector<std::byte> stored(std::vector<std::byte> before) const {
    return generation.stored(index, std::move(before));
  }
  double error() {
    batch.output();
    for (std::size_t row = 0; row < batch.rows(); ++row) {
      for (std::size_t i = 0; i < batch.cols(); ++i) {
        const float y = out.floats()[row * out.float_stride() + i];
        batch.floats[row * batch.stride() + i] = y;
        batch.halves[row * batch.stride() + i] = __float2half(y);
      }
    }
    return batch.error(index, generation.turned_queries());
  }

  std::size_t index;
  bool rope;
  Batch batch;
  Generation generation;
  std::vector<float> q;
  std::vector<float> k;
  std::vector<KvRow> rows;
  CudaActivations out;
};

class CudaAttentionSteps : public testing::TestWithParam<bool> {
 protected:
  CudaAttentionSteps() { EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess); }
  ~CudaAttentionSteps() override { cudaStreamDestroy(stream); }

  // All layers of sequences of such lengths are known up to them.
  Cache make_cache(const std::vector<std::size_t>& lengths) {
    Cache cache({.layers = 2, .kv_heads = 1, .head_size = 64}, lengths, random);
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      for (std::size_t layer = 0; layer < 2; ++layer) cache.fill(layer, i, lengths[i], random);
    }
    return cache;
  }
  // As the device does it at the end of a pass.
  void finish() {
    steps.carry_out();
    steps.reset();
    pass.start();
  }

  const bool rope = GetParam();
  Random random{1};
  cudaStream_t stream = nullptr;
  Pass pass{stream};
  AttentionSteps steps{pass, 16};  // as many multiprocessors as let long sequences be shared
};

TEST_P(CudaAttentionSteps, GenerationIsOneStepInEveryLayerOfEveryPass) {
  const Cache cache = make_cache({2, 65, 130, 700});
  for (std::size_t i = 0; i < 2; ++i) {
    const std::vector<std::byte> before = cache.bytes();
    const std::vector<Place> places = {{0, i}, {1, 63 + i}, {2, 128 + i}, {3, 698 + i}};
    std::deque<Layer> layers;
    for (std::size_t index = 0; index < 2; ++index) {
      Layer& layer = layers.emplace_back(cache, index, places, rope, random);
      layer.store(steps);
      layer.attend(steps);
      EXPECT_EQ(pass.steps(), index + 1);
    }
    finish();
    EXPECT_TRUE(cache.bytes() == layers[1].stored(layers[0].stored(before)));
    for (Layer& layer : layers) EXPECT_LT(layer.error(), float_bound);
  }
}

TEST_P(CudaAttentionSteps, PromptsAreNotFused) {
  const Cache cache = make_cache({110, 65});
  const std::vector<std::byte> before = cache.bytes();
  std::vector<Place> places = {{1, 64}};
  for (std::size_t position = 20; position < 110; ++position) places.push_back({0, position});
  Layer layer(cache, 0, places, rope, random);
  layer.store(steps);
  layer.attend(steps);
  EXPECT_EQ(pass.steps(), rope ? 4 : 2);
  finish();
  EXPECT_TRUE(cache.bytes() == layer.stored(before));
  EXPECT_LT(layer.error(), half_bound);
}

TEST_P(CudaAttentionSteps, WhatIsStoredStaysWithItsRows) {
  const Cache cache = make_cache({6, 71, 65, 131});
  const std::vector<std::byte> before = cache.bytes();
  Layer stored(cache, 0, {{0, 5}, {1, 70}}, rope, random);
  Layer others(cache, 0, {{2, 64}, {3, 130}}, rope, random);
  stored.store(steps);
  others.attend(steps);  // as if all were of the same rows, but for these
  EXPECT_EQ(pass.steps(), rope ? 4 : 2);
  finish();
  EXPECT_TRUE(cache.bytes() == stored.stored(before));
  EXPECT_LT(others.error(), half_bound);
}

TEST_P(CudaAttentionSteps, StoresFollowOneAnother) {
  const Cache cache = make_cache({6, 71, 65, 131});
  const std::vector<std::byte> before = cache.bytes();
  Layer first(cache, 0, {{0, 5}, {1, 70}}, rope, random);
  Layer second(cache, 1, {{2, 64}, {3, 130}}, rope, random);
  first.store(steps);
  second.store(steps);
  second.attend(steps);
  finish();
  EXPECT_TRUE(cache.bytes() == second.stored(first.stored(before)));
  EXPECT_LT(second.error(), half_bound);
}

INSTANTIATE_TEST_SUITE_P(Rope, CudaAttentionSteps, testing::Bool(),
                         [](const auto& rope) { return rope.param ? "Turned" : "AsTheyAre"; });

}  // namespace
}  // namespace compute::cuda
