// Products with quantised weights for the vector instruction sets, written once over a wrapper I of their integers.
//   y[a][r] = Σ_i w[r][i] x[a][i]
// The lanes are weight rows: each runs its output's own chain of float operations, as docs/numerics.md orders them. A
// panel is I::lanes rows × 256 columns; it is unpacked to unsigned bytes, four consecutive columns in each 32-bit lane,
// and multiplied with four activations at a time, broadcast from memory: 64 steps for lanes × 256 products. For few
// activation rows the bytes go straight from the nibbles into the product, which keeps up with memory; for many, a
// panel is unpacked once into the first-level cache, and unpacking costs as much as four rows of products.
//
// Everything is in an anonymous namespace and calls no library function: each instruction set's file gets its own copy.
#pragma once

#include "compute/cpu/kernels.h"

namespace compute::cpu {
namespace {

inline int load32(const void* p) {
  int value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

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
struct ProductKernels {
  using Int = typename I::Int;
  using Float = typename I::Float;
  using Columns = typename I::Columns;  // c[0] to c[3]: lane r of c[i] is bytes 4i to 4i+3 of row r
  static constexpr std::size_t lanes = I::lanes;

  // --- activations to int8 -------------------------------------------------------------------------------------------

  static void quantise_super(const float* x, std::size_t cols, SuperRow* out, std::size_t stride) {
    for (std::size_t b = 0; b < cols / 256; ++b, x += 256, out += stride) {
      float inverse;
      out->d = quantising_scale(I::largest_magnitude(x, 256), inverse);
      for (std::size_t g = 0; g < 16; ++g) {
        out->sums16[g] = static_cast<std::int16_t>(I::quantise16(x + g * 16, inverse, out->q + g * 16));
      }
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

  // --- the formats ---------------------------------------------------------------------------------------------------

  // The factors of one panel.
  struct Factors {
    Int scale[16];  // of each group, as I::scale makes them
    Int pairs[8];   // two 16-bit factors per lane for the sums of two groups of activations: mins, or Q6_K's scales
    Float d;
    Float dmin;
  };

  // Byte i of each lane.
  [[gnu::always_inline]] static Int byte(Int x, unsigned i) { return I::both(I::right(x, 8 * i), I::ints(0xff)); }

  // The first 16 bytes of Q4_K and Q5_K: d, dmin, and 8 scales and mins in 12 bytes.
  [[gnu::always_inline]] static void unpack_header(const std::uint8_t* p, std::size_t stride, Factors& f) {
    const Columns header = I::load_columns(p, stride);
    f.d = I::low_halves(header.c[0]);
    f.dmin = I::low_halves(I::right(header.c[0], 16));
    const Int low6 = I::bytes(0x3f);
    const Int low4 = I::bytes(0x0f);
    const Int top2 = I::bytes(0x30);
    const Int scale[2] = {I::both(header.c[1], low6),
                          I::either(I::both(header.c[3], low4), I::both(I::right(header.c[1], 2), top2))};
    const Int min[2] = {I::both(header.c[2], low6),
                        I::either(I::both(I::right(header.c[3], 4), low4), I::both(I::right(header.c[2], 2), top2))};
#pragma GCC unroll 8
    for (unsigned g = 0; g < 8; ++g) f.scale[g] = I::scale(byte(scale[g / 4], g % 4));
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; ++i) {
      f.pairs[i] = I::either(byte(min[i / 2], i % 2 * 2), I::left(byte(min[i / 2], i % 2 * 2 + 1), 16));
    }
  }

  // Each format hands the sink its 64 vectors, sink(k, w): lane r of w holds columns 4k to 4k+3 of row r, unsigned.
  // Those of a group come in ascending order and soon after one another. All is inlined and unrolled, so that a sink
  // may keep what it makes of them in registers.
  struct Q4_K {
    static constexpr std::size_t block_bytes = 144;
    static constexpr std::size_t groups = 8;
    static constexpr int largest = 15;
    static constexpr bool has_mins = true;

    [[gnu::always_inline]] static void factors(const std::uint8_t* p, std::size_t stride, Factors& f) {
      unpack_header(p, stride, f);
    }

    template <typename Sink>
    [[gnu::always_inline]] static void each_column(const std::uint8_t* p, std::size_t stride, Sink sink) {
      const Int low4 = I::bytes(0x0f);
#pragma GCC unroll 8
      for (std::size_t chunk = 0; chunk < 8; ++chunk) {
        const Columns packed = I::load_columns(p + 16 + chunk * 16, stride);
#pragma GCC unroll 4
        for (std::size_t i = 0; i < 4; ++i) {
          const std::size_t k = chunk / 2 * 16 + chunk % 2 * 4 + i;
          sink(k, I::both(packed.c[i], low4));
          sink(k + 8, I::both(I::right(packed.c[i], 4), low4));
        }
      }
    }
  };

  struct Q5_K {
    static constexpr std::size_t block_bytes = 176;
    static constexpr std::size_t groups = 8;
    static constexpr int largest = 31;
    static constexpr bool has_mins = true;

    [[gnu::always_inline]] static void factors(const std::uint8_t* p, std::size_t stride, Factors& f) {
      unpack_header(p, stride, f);
    }

    template <typename Sink>
    [[gnu::always_inline]] static void each_column(const std::uint8_t* p, std::size_t stride, Sink sink) {
      const Int low4 = I::bytes(0x0f);
      const Int fifth = I::bytes(0x10);
      const Columns high[2] = {I::load_columns(p + 16, stride), I::load_columns(p + 32, stride)};
#pragma GCC unroll 4
      for (unsigned pair = 0; pair < 4; ++pair) {
#pragma GCC unroll 2
        for (std::size_t half = 0; half < 2; ++half) {
          const Columns packed = I::load_columns(p + 48 + pair * 32 + half * 16, stride);
#pragma GCC unroll 4
          for (std::size_t i = 0; i < 4; ++i) {
            // Bit 2·pair of the high bytes belongs to the low nibbles, the next one to the high nibbles.
            const Int bits = I::right(high[half].c[i], 2 * pair);
            const std::size_t k = pair * 16 + half * 4 + i;
            sink(k, I::either(I::both(packed.c[i], low4), I::both(I::left(bits, 4), fifth)));
            sink(k + 8, I::either(I::both(I::right(packed.c[i], 4), low4), I::both(I::left(bits, 3), fifth)));
          }
        }
      }
    }
  };

  // Weights are q − 32: the products are made with q, and 32 times the scaled sums of the activations taken off.
  struct Q6_K {
    static constexpr std::size_t block_bytes = 210;
    static constexpr std::size_t groups = 16;
    static constexpr int largest = 63;
    static constexpr bool has_mins = false;

    [[gnu::always_inline]] static void factors(const std::uint8_t* p, std::size_t stride, Factors& f) {
      const Columns scales = I::load_columns(p + 192, stride);
#pragma GCC unroll 16
      for (unsigned g = 0; g < 16; ++g)
        f.scale[g] = I::scale(I::signed_right(I::left(scales.c[g / 4], 24 - g % 4 * 8), 24));
#pragma GCC unroll 8
      for (std::size_t i = 0; i < 8; ++i) f.pairs[i] = I::pair(f.scale[2 * i], f.scale[2 * i + 1]);
      f.d = I::low_halves(I::right(I::load_columns(p + 194, stride).c[3], 16));
    }

    template <typename Sink>
    [[gnu::always_inline]] static void each_column(const std::uint8_t* p, std::size_t stride, Sink sink) {
      const Int low4 = I::bytes(0x0f);
      const Int top2 = I::bytes(0x30);
#pragma GCC unroll 4
      for (std::size_t quarter = 0; quarter < 4; ++quarter) {
        const std::size_t half = quarter / 2;
        const std::size_t chunk = quarter % 2;
        const Columns a = I::load_columns(p + half * 64 + chunk * 16, stride);
        const Columns b = I::load_columns(p + half * 64 + 32 + chunk * 16, stride);
        const Columns high = I::load_columns(p + 128 + half * 32 + chunk * 16, stride);
#pragma GCC unroll 4
        for (std::size_t i = 0; i < 4; ++i) {
          const std::size_t k = half * 32 + chunk * 4 + i;
          sink(k, I::either(I::both(a.c[i], low4), I::both(I::left(high.c[i], 4), top2)));
          sink(k + 8, I::either(I::both(b.c[i], low4), I::both(I::left(high.c[i], 2), top2)));
          sink(k + 16, I::either(I::both(I::right(a.c[i], 4), low4), I::both(high.c[i], top2)));
          sink(k + 24, I::either(I::both(I::right(b.c[i], 4), low4), I::both(I::right(high.c[i], 2), top2)));
        }
      }
    }
  };

  // --- one panel -----------------------------------------------------------------------------------------------------

  // One superblock's part of the float chain: total = Σ scale · dot of the unsigned weights. Updates sum[lanes].
  template <typename Format>
  [[gnu::always_inline]] static void add_superblock(const Factors& f, const SuperRow& x, Int total, float* sum) {
    const Float dx = I::floats(x.d);
    const Float d = I::mul(f.d, dx);
    const std::int16_t* group_sums = Format::has_mins ? x.sums32 : x.sums16;
    Int offset = I::ints(0);
#pragma GCC unroll 8
    for (std::size_t i = 0; i < Format::groups / 2; ++i) {
      offset = I::add_pairs(offset, f.pairs[i], I::ints(load32(group_sums + 2 * i)));
    }
    Float acc = I::load(sum);
    if constexpr (Format::has_mins) {
      acc = I::fma(d, I::to_floats(total), acc);
      acc = I::fnma(I::mul(f.dmin, dx), I::to_floats(offset), acc);
    } else {
      acc = I::fma(d, I::to_floats(I::sub(total, I::left(offset, 5))), acc);
    }
    I::store(sum, acc);
  }

  // Steps of four columns that are summed before a group's scale is applied.
  template <typename Format>
  static constexpr std::size_t steps() {
    constexpr std::size_t group = 64 / Format::groups;
    return group < I::most_steps(Format::largest) ? group : I::most_steps(Format::largest);
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
            sum = k % run == 0 ? I::multiply(w, values) : I::multiply_add(sum, w, values);
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

  // P panels with A activation rows. Adds to sums[p][a][lanes].
  template <typename Format, std::size_t P, std::size_t A>
  static void multiply_panels(const Panel* panels, const SuperRow* x, float* sums) {
    constexpr std::size_t run = steps<Format>();
    Int total[P][A];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < P * A; ++i) total[i / A][i % A] = I::ints(0);
    for (std::size_t k = 0; k < 64; k += run) {
      Int dot[P][A];
#pragma GCC unroll 8
      for (std::size_t i = 0; i < P * A; ++i) {
        dot[i / A][i % A] = I::multiply(panels[i / A].q[k], I::ints(load32(x[i % A].q + k * 4)));
      }
#pragma GCC unroll 1  // unrolled, GCC 12 regroups AVX2's sums and runs out of registers
      for (std::size_t j = k + 1; j < k + run; ++j) {
#pragma GCC unroll 8
        for (std::size_t a = 0; a < A; ++a) {
          const Int values = I::ints(load32(x[a].q + j * 4));
#pragma GCC unroll 8
          for (std::size_t p = 0; p < P; ++p) dot[p][a] = I::multiply_add(dot[p][a], panels[p].q[j], values);
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

  // Left to itself the processor does not follow that many rows at once. The kernels therefore ask for the next ones,
  // which follow in memory, in the order of addresses.
  [[gnu::always_inline]] static void prefetch(const std::uint8_t* p, std::size_t count) {
    for (std::size_t at = 0; at < count; at += 64) __builtin_prefetch(p + at, 0, 2);
  }

  // Calls body(p, stride), p being block `block` of row r and stride the way to the next row; where the weight has
  // fewer than `lanes` rows left, on a copy in which the missing ones are zero.
  template <std::size_t block_bytes, typename Body>
  [[gnu::always_inline]] static void with_rows(const WeightRows& w, std::size_t r, std::size_t block, Body body) {
    const std::uint8_t* p = w.data + r * w.row_bytes + block * block_bytes;
    if (w.rows - r >= lanes) {
      body(p, w.row_bytes);
    } else {
      std::uint8_t copy[lanes * block_bytes] = {};
      for (std::size_t i = 0; i < w.rows - r; ++i)
        __builtin_memcpy(copy + i * block_bytes, p + i * w.row_bytes, block_bytes);
      body(copy, block_bytes);
    }
  }

  template <typename Format, std::size_t A>
  static void product_directly(const WeightRows& w, const SuperRow* x, const Output& out) {
    constexpr std::size_t size = lanes * Format::block_bytes;
    alignas(64) float sums[A * lanes];
    for (std::size_t r = 0; r < w.rows; r += lanes) {
      clear(sums, A);
      for (std::size_t b = 0; b < w.cols / 256; ++b) {
        prefetch(w.data + (r + lanes) * w.row_bytes + b * size, size);
        with_rows<Format::block_bytes>(w, r, b, [&](const std::uint8_t* p, std::size_t stride) {
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
      prefetch(w.data + (r + P * lanes) * w.row_bytes + b * size, size);
      for (std::size_t p = 0; p < P; ++p) {
        with_rows<Format::block_bytes>(w, r + p * lanes, b, [&](const std::uint8_t* q, std::size_t stride) {
          unpack<Format>(q, stride, panels[p]);
        });
      }
      const SuperRow* row = x + b * n;
      std::size_t a = 0;
      for (; a + 4 <= n; a += 4) multiply_panels<Format, P, 4>(panels, row + a, sums + a * lanes);
      for (; a < n; ++a) multiply_panels<Format, P, 1>(panels, row + a, sums + a * lanes);
    }
    for (std::size_t p = 0; p < P; ++p) put(sums + p * block_rows * lanes, n, w, r + p * lanes, out);
  }

  template <typename Format>
  static void product(const WeightRows& w, const SuperRow* x, std::size_t n, const Output& out) {
    if (n == 1) return product_directly<Format, 1>(w, x, out);
    if (n == 2) return product_directly<Format, 2>(w, x, out);
    if (n == 3) return product_directly<Format, 3>(w, x, out);
    if (n == 4) return product_directly<Format, 4>(w, x, out);
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

  // Q8_0: 32 columns at a time, their weights in registers.
  static void product_q8_0(const WeightRows& w, const SmallRow* x, std::size_t n, const Output& out) {
    constexpr std::size_t block_bytes = 34;
    alignas(64) float sums[block_rows * lanes];
    for (std::size_t r = 0; r < w.rows; r += lanes) {
      clear(sums, n);
      for (std::size_t b = 0; b < w.cols / 32; ++b) {
        prefetch(w.data + (r + lanes) * w.row_bytes + b * lanes * block_bytes, lanes * block_bytes);
        with_rows<block_bytes>(
            w, r, b, [&](const std::uint8_t* p, std::size_t stride) { multiply_q8_0(p, stride, x + b * n, n, sums); });
      }
      put(sums, n, w, r, out);
    }
  }

  static void multiply_q8_0(const std::uint8_t* p, std::size_t stride, const SmallRow* x, std::size_t n, float* sums) {
    alignas(64) std::uint16_t halves[2 * lanes] = {};
    for (std::size_t i = 0; i < lanes; ++i) __builtin_memcpy(&halves[2 * i], p + i * stride, 2);
    const Float d = I::low_halves(I::load_ints(halves));
    const Columns part[2] = {I::load_columns(p + 2, stride), I::load_columns(p + 18, stride)};
    Int q[8];
#pragma GCC unroll 8
    for (std::size_t k = 0; k < 8; ++k) q[k] = I::prepare_signed(part[k / 4].c[k % 4]);
    for (std::size_t a = 0; a < n; ++a) {
      Int dot = I::signed_start(x[a].sum);
#pragma GCC unroll 8
      for (std::size_t k = 0; k < 8; ++k) dot = I::signed_multiply_add(dot, q[k], I::ints(load32(x[a].q + k * 4)));
      float* sum = sums + a * lanes;
      I::store(sum, I::fma(I::mul(d, I::floats(x[a].d)), I::to_floats(dot), I::load(sum)));
    }
  }
};

}  // namespace
}  // namespace compute::cpu
