// Products with quantised weights for the vector instruction sets, written once over a wrapper I of their integers.
//   y[a][r] = Σ_i w[r][i] x[a][i]
// The lanes are weight rows: each runs its output's own chain of float operations, as docs/numerics.md orders them. A
// panel is I::lanes rows × 256 columns; it is unpacked to unsigned bytes, four consecutive columns in each 32-bit lane,
// and multiplied with up to four activation rows at a time, broadcast from memory: 64 steps for lanes × 256 products of
// each. For two to four rows the bytes of formats with 8 groups go straight from the nibbles into the product, which
// keeps up with memory; else a panel is unpacked once into the first-level cache, which costs as much as four rows of
// products. One row has kernels of its own (vector_rows.h).
//
// Everything is in an anonymous namespace and calls no library function: each instruction set's file gets its own copy.
#pragma once

#include "compute/cpu/kernels.h"
#include "compute/cpu/panel_rows.h"
#include "compute/cpu/vector_formats.h"
#include "compute/cpu/vector_rows.h"

namespace compute::cpu {
namespace {

// The scale by which activations are quantised and its inverse; `largest` is the largest magnitude as bits. As scale_of
// in scalar.cpp.
inline float quantising_scale(std::uint32_t largest, float& inverse) {
  inverse = 0;
  if (largest >= 0x7f800000U) return __builtin_nanf("");
  float amax;
  __builtin_memcpy(&amax, &largest, sizeof amax);
  if (amax < 0x1p-100F) return 0;
  inverse = 127.0F / amax;
  return amax / 127.0F;
}

template <typename I>
struct ProductKernels : ProductFormats<I> {
  using Int = typename I::Int;
  using Float = typename I::Float;
  using typename ProductFormats<I>::Factors;
  using typename ProductFormats<I>::SmallBlock;
  static constexpr std::size_t lanes = I::lanes;

  // --- activations to int8 -------------------------------------------------------------------------------------------

  static void quantise_super(const float* x, std::size_t cols, SuperRow* out, std::size_t stride) {
    for (std::size_t b = 0; b < cols / 256; ++b, x += 256, out += stride) {
      float inverse;
      out->d = quantising_scale(I::largest_magnitude(x, 256), inverse);
      I::quantise256(x, inverse, out->q, out->sums16);
      for (std::size_t g = 0; g < 8; ++g) {
        out->sums32[g] = static_cast<std::int16_t>(out->sums16[2 * g] + out->sums16[2 * g + 1]);
      }
    }
  }

  static void quantise_small(const float* x, std::size_t cols, SmallRow* out, std::size_t stride) {
    for (std::size_t b = 0; b < cols / 32; ++b, x += 32, out += stride) {
      float inverse;
      out->d = quantising_scale(I::largest_magnitude(x, 32), inverse);
      out->sum = I::quantise16(x, inverse, out->q) + I::quantise16(x + 16, inverse, out->q + 16);
    }
  }

  // --- one panel -----------------------------------------------------------------------------------------------------

  template <typename Format>
  [[gnu::always_inline]] static Int multiply(Int w, Int x) {
    return Format::is_signed ? I::multiply_signed(w, x) : I::multiply(w, x);
  }

  template <typename Format>
  [[gnu::always_inline]] static Int multiply_add(Int sum, Int w, Int x) {
    return Format::is_signed ? I::multiply_add_signed(sum, w, x) : I::multiply_add(sum, w, x);
  }

  // Steps of four columns that are summed before a group's scale is applied.
  template <typename Format>
  static constexpr std::size_t steps() {
    constexpr std::size_t group = 64 / Format::groups;
    return group < I::most_steps(Format::largest) ? group : I::most_steps(Format::largest);
  }

  // Weights to which an offset was added need the scaled sums of the activations taken off: where dot products have 32
  // bits, each group's starts with that, which costs no multiplication; elsewhere all is taken off in the end.
  template <typename Format>
  static constexpr bool starts_with_offset = Format::offset != 0 && I::has_wide_sums;
  template <typename Format>
  static constexpr bool ends_with_offset = Format::offset != 0 && !I::has_wide_sums;

  // The first products of a run of steps, the k-th of a block being its first.
  template <typename Format>
  [[gnu::always_inline]] static Int start(Int w, Int values, const SuperRow& x, std::size_t k) {
    if constexpr (starts_with_offset<Format>) {
      static_assert(steps<Format>() == 64 / Format::groups);  // else a group would start more than once
      const std::int16_t* group_sums = Format::groups == 8 ? x.sums32 : x.sums16;
      return multiply_add<Format>(I::ints(-Format::offset * group_sums[k / steps<Format>()]), w, values);
    } else {
      return multiply<Format>(w, values);
    }
  }

  // One superblock's part of the float chain: total = Σ scale · dot. Updates sum[lanes].
  template <typename Format>
  [[gnu::always_inline]] static void add_superblock(const Factors& f, const SuperRow& x, Int total, float* sum) {
    const Float dx = I::floats(x.d);
    const Float d = I::mul(f.d, dx);
    const std::int16_t* group_sums = Format::groups == 8 ? x.sums32 : x.sums16;
    Int offset = I::ints(0);
    if constexpr (Format::has_mins || ends_with_offset<Format>) {
#pragma GCC unroll 8
      for (std::size_t i = 0; i < Format::groups / 2; ++i) {
        offset = I::add_pairs(offset, f.pairs[i], I::ints(load32(group_sums + 2 * i)));
      }
    }
    Float acc = I::load(sum);
    if constexpr (Format::has_mins) {
      acc = I::fma(d, I::to_floats(total), acc);
      acc = I::fnma(I::mul(f.dmin, dx), I::to_floats(offset), acc);
    } else if constexpr (ends_with_offset<Format>) {
      acc = I::fma(
          d, I::to_floats(I::sub(total, I::left(offset, static_cast<unsigned>(__builtin_ctz(Format::offset))))), acc);
    } else {
      acc = I::fma(d, I::to_floats(total), acc);
    }
    I::store(sum, acc);
  }

  // A activation rows with weights that are used at once. Adds to sums[a][lanes].
  template <typename Format, std::size_t A>
  static void multiply_directly(const std::uint8_t* p, std::size_t stride, const SuperRow* x, float* sums) {
    constexpr std::size_t run = steps<Format>();
    Factors f;
    Format::factors(p, stride, f);
    Int dot[64 / run][A];
    Int total[A];
#pragma GCC unroll 8
    for (std::size_t a = 0; a < A; ++a) total[a] = I::ints(0);
    Format::each_column(
        p, stride, [&](std::size_t k, Int w) __attribute__((always_inline)) {
#pragma GCC unroll 8
          for (std::size_t a = 0; a < A; ++a) {
            Int& sum = dot[k / run][a];
            const Int values = I::ints(load32(x[a].q + k * 4));
            sum = k % run == 0 ? start<Format>(w, values, x[a], k) : multiply_add<Format>(sum, w, values);
            if (k % run == run - 1) total[a] = I::add_scaled(total[a], sum, f.scale[k * Format::groups / 64]);
          }
        });
#pragma GCC unroll 8
    for (std::size_t a = 0; a < A; ++a) add_superblock<Format>(f, x[a], total[a], sums + a * lanes);
  }

  struct Panel {
    Int q[64];
    Factors f;
  };

  template <typename Format>
  static void unpack(const std::uint8_t* p, std::size_t stride, Panel& panel) {
    Format::each_column(
        p, stride, [&](std::size_t k, Int w) __attribute__((always_inline)) { panel.q[k] = w; });
    Format::factors(p, stride, panel.f);
  }

  // P panels with A activation rows. Adds to sums[p][a][lanes]. Meanwhile asks for `ahead` bytes at `next`, bit by bit:
  // many requests at once would keep the loads waiting.
  template <typename Format, std::size_t P, std::size_t A>
  static void multiply_panels(const Panel* panels, const SuperRow* x, float* sums, const std::uint8_t* next,
                              std::size_t ahead) {
    constexpr std::size_t run = steps<Format>();
    Int total[P][A];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < P * A; ++i) total[i / A][i % A] = I::ints(0);
    std::size_t asked = 0;
    for (std::size_t k = 0; k < 64; k += run) {
      for (; asked < ahead * (k + run) / 64; asked += 64) __builtin_prefetch(next + asked, 0, 2);
      Int dot[P][A];
#pragma GCC unroll 8
      for (std::size_t a = 0; a < A; ++a) {
        const Int values = I::ints(load32(x[a].q + k * 4));
#pragma GCC unroll 8
        for (std::size_t p = 0; p < P; ++p) dot[p][a] = start<Format>(panels[p].q[k], values, x[a], k);
      }
#pragma GCC unroll 1  // unrolled, GCC 12 regroups AVX2's sums and runs out of registers
      for (std::size_t j = k + 1; j < k + run; ++j) {
#pragma GCC unroll 8
        for (std::size_t a = 0; a < A; ++a) {
          const Int values = I::ints(load32(x[a].q + j * 4));
#pragma GCC unroll 8
          for (std::size_t p = 0; p < P; ++p) dot[p][a] = multiply_add<Format>(dot[p][a], panels[p].q[j], values);
        }
      }
#pragma GCC unroll 8
      for (std::size_t i = 0; i < P * A; ++i) {
        const Int scale = panels[i / A].f.scale[k * Format::groups / 64];
        total[i / A][i % A] = I::add_scaled(total[i / A][i % A], dot[i / A][i % A], scale);
      }
    }
#pragma GCC unroll 8
    for (std::size_t i = 0; i < P * A; ++i) {
      add_superblock<Format>(panels[i / A].f, x[i % A], total[i / A][i % A],
                             sums + (i / A * block_rows + i % A) * lanes);
    }
  }

  // --- all rows ------------------------------------------------------------------------------------------------------

  static void clear(float* sums, std::size_t n) {
    for (std::size_t a = 0; a < n; ++a) I::store(sums + a * lanes, I::floats(0));
  }

  // sums[a][lanes] to rows r to r + lanes - 1, or as many as there are.
  static void put(const float* sums, std::size_t n, const WeightRows& w, std::size_t r, const Output& out) {
    const std::size_t rows = w.rows - r < lanes ? w.rows - r : lanes;
    for (std::size_t a = 0; a < n; ++a) {
      float* y = out.y + a * out.stride + r;
      for (std::size_t i = 0; i < rows; ++i) y[i] = out.add ? y[i] + sums[a * lanes + i] : sums[a * lanes + i];
    }
  }

  template <typename Format, std::size_t A>
  static void product_directly(const WeightRows& w, const SuperRow* x, const Output& out) {
    alignas(64) float sums[A * lanes];
    for (std::size_t r = 0; r < w.rows; r += lanes) {
      clear(sums, A);
      for (std::size_t b = 0; b < w.cols / 256; ++b) {
        ask_for_next<lanes * Format::block_bytes>(w, r + lanes, b);
        with_rows<lanes, Format::block_bytes>(w, r, b, [&](const std::uint8_t* p, std::size_t stride) {
          multiply_directly<Format, A>(p, stride, x + b * A, sums);
        });
      }
      put(sums, A, w, r, out);
    }
  }

  // Rows from r on, at most P panels of them.
  template <typename Format, std::size_t P>
  static void product_panels(const WeightRows& w, std::size_t r, const SuperRow* x, std::size_t n, const Output& out) {
    constexpr std::size_t size = P * lanes * Format::block_bytes;
    alignas(64) float sums[P * block_rows * lanes];
    Panel panels[P];
    for (std::size_t p = 0; p < P; ++p) clear(sums + p * block_rows * lanes, n);
    for (std::size_t b = 0; b < w.cols / 256; ++b) {
      for (std::size_t p = 0; p < P; ++p) {
        with_rows<lanes, Format::block_bytes>(w, r + p * lanes, b, [&](const std::uint8_t* q, std::size_t stride) {
          unpack<Format>(q, stride, panels[p]);
        });
      }
      const SuperRow* row = x + b * n;
      const std::uint8_t* next = w.data + (r + P * lanes) * w.row_bytes + b * size;
      std::size_t a = 0;
      const auto multiply_next = [&]<std::size_t A>() __attribute__((always_inline)) {
        const std::size_t from = size * a / n / 64 * 64;
        const std::size_t to = a + A < n ? size * (a + A) / n / 64 * 64 : size;
        multiply_panels<Format, P, A>(panels, row + a, sums + a * lanes, next + from, to - from);
        a += A;
      };
      while (a + 4 <= n) multiply_next.template operator()<4>();
      if (a + 2 <= n) multiply_next.template operator()<2>();
      if (a < n) multiply_next.template operator()<1>();
    }
    for (std::size_t p = 0; p < P; ++p) put(sums + p * block_rows * lanes, n, w, r + p * lanes, out);
  }

  // One activation row goes through Rows of vector_rows.h, where a format has them.
  template <typename Format, typename Rows = void>
  static void product(const WeightRows& w, const SuperRow* x, std::size_t n, const Output& out) {
    if constexpr (__is_same(Rows, void)) {
      if (n == 1) return product_directly<Format, 1>(w, x, out);
    } else {
      if (n == 1) return product_of_rows<Rows>(w, x, out);
    }
    if constexpr (Format::groups == 8) {  // the dot products of 16 groups would not fit the registers
      if (n == 2) return product_directly<Format, 2>(w, x, out);
      if (n == 3) return product_directly<Format, 3>(w, x, out);
      if (n == 4) return product_directly<Format, 4>(w, x, out);
    }
    for (std::size_t r = 0; r < w.rows;) {
      const std::size_t left = w.rows - r;
      if (left > (I::panels - 1) * lanes) {
        product_panels<Format, I::panels>(w, r, x, n, out);
        r += I::panels * lanes;
      } else {
        product_panels<Format, 1>(w, r, x, n, out);
        r += lanes;
      }
    }
  }

  // --- blocks of 32: their weights stay in registers while all activation rows pass ----------------------------------

  template <typename Format>
  static void product_small(const WeightRows& w, const SmallRow* x, std::size_t n, const Output& out) {
    alignas(64) float sums[block_rows * lanes];
    for (std::size_t r = 0; r < w.rows; r += lanes) {
      clear(sums, n);
      for (std::size_t b = 0; b < w.cols / 32; ++b) {
        ask_for_next<lanes * Format::block_bytes>(w, r + lanes, b);
        with_rows<lanes, Format::block_bytes>(w, r, b, [&](const std::uint8_t* p, std::size_t stride) {
          multiply_small<Format>(p, stride, x + b * n, n, sums);
        });
      }
      put(sums, n, w, r, out);
    }
  }

  template <typename Format>
  static void multiply_small(const std::uint8_t* p, std::size_t stride, const SmallRow* x, std::size_t n, float* sums) {
    constexpr std::size_t most = I::most_steps(Format::largest);
    constexpr std::size_t run = most < 8 ? most : 8;
    SmallBlock w;
    Format::unpack(p, stride, w);
    for (std::size_t a = 0; a < n; ++a) {
      Int total = I::ints(-Format::offset * x[a].sum);
#pragma GCC unroll 8
      for (std::size_t k = 0; k < 8; k += run) {
        Int dot = multiply<Format>(w.q[k], I::ints(load32(x[a].q + k * 4)));
#pragma GCC unroll 8
        for (std::size_t j = k + 1; j < k + run; ++j) {
          dot = multiply_add<Format>(dot, w.q[j], I::ints(load32(x[a].q + j * 4)));
        }
        total = I::add_sum(total, dot);
      }
      const Float dx = I::floats(x[a].d);
      float* sum = sums + a * lanes;
      Float acc = I::fma(I::mul(w.d, dx), I::to_floats(total), I::load(sum));
      if constexpr (Format::has_mins) acc = I::fma(I::mul(w.m, dx), I::to_floats(I::ints(x[a].sum)), acc);
      I::store(sum, acc);
    }
  }
};

}  // namespace
}  // namespace compute::cpu
