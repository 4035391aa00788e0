// The floating-point kernels of the vector instruction sets, written once over a wrapper V of 16 float lanes.
// Operations and their order are those of scalar.cpp and scalar_products.cpp, lane by lane.
//
// Everything is in an anonymous namespace and calls no library function: each instruction set's file gets its own copy.
#pragma once

#include "compute/cpu/kernels.h"

namespace compute::cpu {
namespace {

template <typename V>
struct FloatKernels {
  using Reg = typename V::Reg;

  static Reg exp(Reg x) {
    const Reg to_integer = V::set(0x1.8p23F);
    const Reg shifted = V::fma(x, V::set(0x1.715476p+0F), to_integer);
    const Reg n = V::sub(shifted, to_integer);
    Reg r = V::fma(n, V::set(-0x1.62e4p-1F), x);
    r = V::fma(n, V::set(-0x1.7f7d1cp-20F), r);
    Reg p = V::set(0x1.a01a02p-13F);
    p = V::fma(p, r, V::set(0x1.6c16c2p-10F));
    p = V::fma(p, r, V::set(0x1.111112p-7F));
    p = V::fma(p, r, V::set(0x1.555556p-5F));
    p = V::fma(p, r, V::set(0x1.555556p-3F));
    p = V::fma(p, r, V::set(0.5F));
    p = V::fma(p, r, V::set(1.0F));
    p = V::fma(p, r, V::set(1.0F));
    Reg result = V::mul(p, V::power_of_two(shifted));
    result = V::select_less(x, V::set(-87.0F), V::zero(), result);
    return V::select_less(V::set(88.0F), x, V::set(__builtin_inff()), result);
  }

  static float exp(float x) { return V::first(exp(V::set(x))); }

  static void exponential(const float* x, std::size_t count, float* y) {
    for (std::size_t i = 0; i < count; i += 16) V::store(y + i, exp(V::load(x + i)));
  }

  static void rms_norm(const float* x, const float* gain, std::size_t cols, float epsilon, float* y) {
    Reg squares = V::zero();
    for (std::size_t i = 0; i < cols; i += 16) squares = V::fma(V::load(x + i), V::load(x + i), squares);
    const float inverse = 1.0F / __builtin_sqrtf(V::sum(squares) / static_cast<float>(cols) + epsilon);
    const Reg factor = V::set(inverse);
    for (std::size_t i = 0; i < cols; i += 16)
      V::store(y + i, V::mul(V::mul(V::load(x + i), factor), V::load(gain + i)));
  }

  static void swiglu(const float* gate, const float* up, std::size_t count, float* y) {
    const Reg one = V::set(1.0F);
    for (std::size_t i = 0; i < count; i += 16) {
      const Reg g = V::load(gate + i);
      V::store(y + i, V::mul(V::div(g, V::add(one, exp(V::negate(g)))), V::load(up + i)));
    }
  }

  static void rope(float* x, const float* cos_sin, std::size_t head_size) {
    for (std::size_t i = 0; i < head_size; i += 16) V::store(x + i, V::rotate(V::load(x + i), V::load(cos_sin + i)));
  }

  // Loads of 16 elements, and their bytes.
  struct F32 {
    static constexpr std::size_t bytes = 4;
    static Reg load(const void* p) { return V::load(static_cast<const float*>(p)); }
  };
  struct F16 {
    static constexpr std::size_t bytes = 2;
    static Reg load(const void* p) { return V::load_half(p); }
  };
  struct BF16 {
    static constexpr std::size_t bytes = 2;
    static Reg load(const void* p) { return V::load_bfloat(p); }
  };

  // R weight rows with A activation rows, lane l of each sum over columns l, l + 16, …
  template <typename Element, std::size_t R, std::size_t A>
  static void product_tile(const std::uint8_t* w, std::size_t row_bytes, const float* x, std::size_t cols,
                           const Output& out, float* y) {
    Reg sum[R][A];
    for (std::size_t r = 0; r < R; ++r) {
      for (std::size_t a = 0; a < A; ++a) sum[r][a] = V::zero();
    }
    for (std::size_t i = 0; i < cols; i += 16) {
      Reg weights[R];
      for (std::size_t r = 0; r < R; ++r) {
        const std::uint8_t* p = w + r * row_bytes + i * Element::bytes;
        weights[r] = Element::load(p);
        if (A == 1) __builtin_prefetch(p + R * row_bytes, 0, 2);  // the next R rows, which follow in memory
      }
      for (std::size_t a = 0; a < A; ++a) {
        const Reg values = V::load(x + a * cols + i);
        for (std::size_t r = 0; r < R; ++r) sum[r][a] = V::fma(weights[r], values, sum[r][a]);
      }
    }
    for (std::size_t a = 0; a < A; ++a) {
      for (std::size_t r = 0; r < R; ++r) {
        const float value = V::sum(sum[r][a]);
        float& to = y[a * out.stride + r];
        to = out.add ? to + value : value;
      }
    }
  }

  template <typename Element, std::size_t R>
  static void product_rows(const std::uint8_t* w, const WeightRows& rows, const float* x, std::size_t n,
                           const Output& out, float* y) {
    constexpr std::size_t tile = V::tile_acts;
    std::size_t a = 0;
    for (; a + tile <= n; a += tile) {
      product_tile<Element, R, tile>(w, rows.row_bytes, x + a * rows.cols, rows.cols, out, y + a * out.stride);
    }
    for (; a < n; ++a) {
      product_tile<Element, R, 1>(w, rows.row_bytes, x + a * rows.cols, rows.cols, out, y + a * out.stride);
    }
  }

  template <typename Element>
  static void product(const WeightRows& w, const float* x, std::size_t n, const Output& out) {
    constexpr std::size_t tile = V::tile_rows;
    std::size_t r = 0;
    for (; r + tile <= w.rows; r += tile)
      product_rows<Element, tile>(w.data + r * w.row_bytes, w, x, n, out, out.y + r);
    for (; r < w.rows; ++r) product_rows<Element, 1>(w.data + r * w.row_bytes, w, x, n, out, out.y + r);
  }

  // score[query][position]: fma over the head's dimensions in ascending order, each lane a position.
  template <typename Element, std::size_t Q>
  static void scores(const AttentionBlock& block, const float* q, float (&score)[Q][64]) {
    constexpr std::size_t width = V::tile_vectors;
    const auto* keys = static_cast<const std::uint8_t*>(block.keys);
    const Reg scale = V::set(block.scale);
    for (std::size_t first = 0; first < block.visible; first += width * 16) {
      Reg sum[Q][width];
      for (std::size_t i = 0; i < Q; ++i) {
        for (std::size_t v = 0; v < width; ++v) sum[i][v] = V::zero();
      }
      for (std::size_t d = 0; d < block.head_size; ++d) {
        Reg key[width];
        for (std::size_t v = 0; v < width; ++v)
          key[v] = Element::load(keys + (d * 64 + first + v * 16) * Element::bytes);
        for (std::size_t i = 0; i < Q; ++i) {
          const Reg value = V::set(q[i * block.head_size + d]);
          for (std::size_t v = 0; v < width; ++v) sum[i][v] = V::fma(value, key[v], sum[i][v]);
        }
      }
      for (std::size_t i = 0; i < Q; ++i) {
        for (std::size_t v = 0; v < width; ++v) V::store(&score[i][first + v * 16], V::mul(sum[i][v], scale));
      }
    }
  }

  // Turns a query's scores into exp(score - new maximum), 0 where it does not see, and updates maximum and sum. Returns
  // the factor by which what was summed before shrinks.
  static float soften(float (&score)[64], std::size_t visible, float* state) {
    const Reg nothing = V::set(-__builtin_inff());
    Reg s[4];
    Reg largest = nothing;
    for (std::size_t v = 0; v < 4; ++v) {
      s[v] = v * 16 < visible ? V::keep_first(V::load(&score[v * 16]), visible - v * 16, nothing) : nothing;
      largest = V::max(largest, s[v]);
    }
    const float block_max = V::largest(largest);
    const float new_max = block_max > state[0] ? block_max : state[0];
    const float shrink = exp(state[0] - new_max);
    state[0] = new_max;
    Reg sum = V::zero();
    for (std::size_t v = 0; v < 4; ++v) {
      const Reg p = exp(V::sub(s[v], V::set(new_max)));
      V::store(&score[v * 16], p);
      sum = V::add(sum, p);
    }
    state[1] = V::scalar_fma(state[1], shrink, V::sum(sum));
    return shrink;
  }

  // weighted[query][d] = weighted * shrink + Σ p v over positions in ascending order, for `width` vectors from d on.
  template <typename Element, std::size_t Q, std::size_t width>
  static void add_values(const AttentionBlock& block, const float (&p)[Q][64], const float (&shrink)[Q], std::size_t d,
                         float* states) {
    const std::size_t size = block.head_size + state_header;
    const std::uint8_t* values = static_cast<const std::uint8_t*>(block.values) + d * Element::bytes;
    Reg sum[Q][width];
    for (std::size_t i = 0; i < Q; ++i) {
      for (std::size_t v = 0; v < width; ++v) {
        sum[i][v] = V::mul(V::load(states + i * size + state_header + d + v * 16), V::set(shrink[i]));
      }
    }
    for (std::size_t j = 0; j < block.visible; ++j) {
      Reg value[width];
      for (std::size_t v = 0; v < width; ++v)
        value[v] = Element::load(values + (j * block.head_size + v * 16) * Element::bytes);
      for (std::size_t i = 0; i < Q; ++i) {
        const Reg weight = V::set(p[i][j]);
        for (std::size_t v = 0; v < width; ++v) sum[i][v] = V::fma(weight, value[v], sum[i][v]);
      }
    }
    for (std::size_t i = 0; i < Q; ++i) {
      for (std::size_t v = 0; v < width; ++v) V::store(states + i * size + state_header + d + v * 16, sum[i][v]);
    }
  }

  template <typename Element, std::size_t Q>
  static void attend_queries(const AttentionBlock& block, std::size_t first) {
    constexpr std::size_t width = V::tile_vectors;
    float* states = block.states + first * (block.head_size + state_header);
    alignas(64) float score[Q][64];
    float shrink[Q];
    scores<Element, Q>(block, block.q + first * block.head_size, score);
    for (std::size_t i = 0; i < Q; ++i) {
      shrink[i] = soften(score[i], block.visible, states + i * (block.head_size + state_header));
    }
    std::size_t d = 0;
    for (; d + width * 16 <= block.head_size; d += width * 16) {
      add_values<Element, Q, width>(block, score, shrink, d, states);
    }
    for (; d < block.head_size; d += 16) add_values<Element, Q, 1>(block, score, shrink, d, states);
  }

  template <typename Element>
  static void attend_all(const AttentionBlock& block) {
    std::size_t i = 0;
    for (; i + 4 <= block.queries; i += 4) attend_queries<Element, 4>(block, i);
    for (; i + 2 <= block.queries; i += 2) attend_queries<Element, 2>(block, i);
    for (; i < block.queries; ++i) attend_queries<Element, 1>(block, i);
  }

  static void attend(const AttentionBlock& block) {
    if (block.half) {
      attend_all<F16>(block);
    } else {
      attend_all<F32>(block);
    }
  }

  static void merge(const float* span, std::size_t head_size, float* total) {
    const float max = span[0] > total[0] ? span[0] : total[0];
    const float old_share = exp(total[0] - max);
    const float new_share = exp(span[0] - max);
    total[0] = max;
    total[1] = V::scalar_fma(total[1], old_share, span[1] * new_share);
    for (std::size_t d = state_header; d < head_size + state_header; d += 16) {
      const Reg fresh = V::mul(V::load(span + d), V::set(new_share));
      V::store(total + d, V::fma(V::load(total + d), V::set(old_share), fresh));
    }
  }

  static void finish(const float* state, std::size_t head_size, float* out) {
    const Reg sum = V::set(state[1]);
    for (std::size_t d = 0; d < head_size; d += 16) V::store(out + d, V::div(V::load(state + state_header + d), sum));
  }
};

}  // namespace
}  // namespace compute::cpu
