// For tests of attention: caches, batches of rows and the keys and values that they bring, all random, and what must
// come of them in double.
#pragma once

#include <cuda_fp16.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <span>
#include <vector>

#include "base/memory.h"
#include "compute/compute.h"
#include "compute/cuda/attention.h"
#include "quant/half.h"

namespace compute::cuda::test {

using Random = std::mt19937;

inline std::vector<float> random_values(std::size_t count, Random& random, float deviation = 1) {
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
  KvRow row(std::size_t sequence, std::size_t position) const {
    const std::size_t end = sequence + 1 < first_pages_.size() ? first_pages_[sequence + 1] : page_count_;
    return {std::span(pages_).first(end).subspan(first_pages_[sequence]), position};
  }
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

  // What a cache that held `before` holds with the keys and values of this batch, in F16.
  std::vector<std::byte> stored(std::size_t layer, std::vector<std::byte> before) const {
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
    return before;
  }

  const Batch& batch;
  std::size_t stride = 0;
  std::vector<float> k;
  std::vector<float> v;
  std::vector<float> cos_sin;
};

// Of each sequence one row at its last position.
inline void add_last_positions(Batch& batch, const std::vector<std::size_t>& positions) {
  for (std::size_t i = 0; i < positions.size(); ++i) batch.add(i, positions[i]);
}

inline std::vector<std::size_t> lengths_of(const std::vector<std::size_t>& positions) {
  std::vector<std::size_t> lengths;
  for (const std::size_t position : positions) lengths.push_back(position + 1);
  return lengths;
}

}  // namespace compute::cuda::test
