// How the formats lie, for vector_products.h: from the bytes of I::lanes rows to vectors of weights and factors.
//
// Everything is in an anonymous namespace and calls no library function: each instruction set's file gets its own copy.
#pragma once

#include "compute/cpu/kernels.h"
#include "quant/blocks.h"

namespace compute::cpu {
namespace {

template <typename I>
struct ProductFormats {
  using Int = typename I::Int;
  using Float = typename I::Float;
  using Columns = typename I::Columns;  // c[0] to c[3]: lane r of c[i] is bytes 4i to 4i+3 of row r

  // What holds of a format unless it says otherwise. Its vectors of weights are unsigned bytes after `offset` is added,
  // or what I::prepare_signed makes of signed ones; none is larger than `largest`.
  struct Unsigned {
    static constexpr bool is_signed = false;
    static constexpr int offset = 0;
    static constexpr bool has_mins = false;
  };
  struct Signed : Unsigned {
    static constexpr bool is_signed = true;
    static constexpr int offset = I::signed_offset;
  };

  // The factors of one panel.
  struct Factors {
    Int scale[16];  // of each group, as I::scale makes them
    Int pairs[8];   // two 16-bit factors per lane for the sums of two groups of activations: mins, or (pair_scales)
                    // scales
    Float d;
    Float dmin;
  };

  // The scales, for taking off what an offset of the weights adds, where no dot product starts with that.
  template <unsigned groups>
  [[gnu::always_inline]] static void pair_scales(Factors& f) {
    if constexpr (!I::has_wide_sums) {
#pragma GCC unroll 8
      for (unsigned i = 0; i < groups / 2; ++i) f.pairs[i] = I::pair(f.scale[2 * i], f.scale[2 * i + 1]);
    }
  }

  // Mins, four to a vector of bytes.
  template <unsigned groups>
  [[gnu::always_inline]] static void pair_mins(const Int* min, Factors& f) {
#pragma GCC unroll 8
    for (unsigned i = 0; i < groups / 2; ++i) {
      f.pairs[i] = I::either(byte(min[i / 2], i % 2 * 2), I::left(byte(min[i / 2], i % 2 * 2 + 1), 16));
    }
  }

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
    pair_mins<8>(min, f);
  }

  // --- formats with blocks of 256 ------------------------------------------------------------------------------------

  // Each hands the sink its 64 vectors, sink(k, w): lane r of w holds columns 4k to 4k+3 of row r. Those of a group
  // come in ascending order and soon after one another. All is inlined and unrolled, so that a sink may keep what it
  // makes of them in registers.
  struct Q2_K : Unsigned {
    static constexpr std::size_t block_bytes = 84;
    static constexpr std::size_t groups = 16;
    static constexpr int largest = 3;
    static constexpr bool has_mins = true;

    [[gnu::always_inline]] static void factors(const std::uint8_t* p, std::size_t stride, Factors& f) {
      const Columns scales = I::load_columns(p, stride);
      const Int low4 = I::bytes(0x0f);
      Int min[4];
#pragma GCC unroll 4
      for (unsigned i = 0; i < 4; ++i) min[i] = I::both(I::right(scales.c[i], 4), low4);
#pragma GCC unroll 16
      for (unsigned g = 0; g < 16; ++g) f.scale[g] = I::scale(byte(I::both(scales.c[g / 4], low4), g % 4));
      pair_mins<16>(min, f);
      const Int d = I::load_columns(p + 68, stride).c[3];
      f.d = I::low_halves(d);
      f.dmin = I::low_halves(I::right(d, 16));
    }

    template <typename Sink>
    [[gnu::always_inline]] static void each_column(const std::uint8_t* p, std::size_t stride, Sink sink) {
      const Int low2 = I::bytes(0x03);
#pragma GCC unroll 4
      for (std::size_t chunk = 0; chunk < 4; ++chunk) {
        const Columns packed = I::load_columns(p + 16 + chunk * 16, stride);
#pragma GCC unroll 4
        for (unsigned pair = 0; pair < 4; ++pair) {
#pragma GCC unroll 4
          for (std::size_t i = 0; i < 4; ++i) {
            sink(chunk / 2 * 32 + pair * 8 + chunk % 2 * 4 + i, I::both(I::right(packed.c[i], 2 * pair), low2));
          }
        }
      }
    }
  };

  // Weights are q − 4.
  struct Q3_K : Unsigned {
    static constexpr std::size_t block_bytes = 110;
    static constexpr std::size_t groups = 16;
    static constexpr int largest = 7;
    static constexpr int offset = 4;

    [[gnu::always_inline]] static void factors(const std::uint8_t* p, std::size_t stride, Factors& f) {
      // The last 16 bytes: two of q, 12 of scales, d.
      const Columns tail = I::load_columns(p + 94, stride);
      Int packed[3];
#pragma GCC unroll 3
      for (std::size_t i = 0; i < 3; ++i) packed[i] = I::either(I::right(tail.c[i], 16), I::left(tail.c[i + 1], 16));
      const Int low4 = I::bytes(0x0f);
      const Int top2 = I::bytes(0x30);
      const Int scale[4] = {
          I::either(I::both(packed[0], low4), I::both(I::left(packed[2], 4), top2)),
          I::either(I::both(packed[1], low4), I::both(I::left(packed[2], 2), top2)),
          I::either(I::both(I::right(packed[0], 4), low4), I::both(packed[2], top2)),
          I::either(I::both(I::right(packed[1], 4), low4), I::both(I::right(packed[2], 2), top2)),
      };
#pragma GCC unroll 16
      for (unsigned g = 0; g < 16; ++g) f.scale[g] = I::scale(I::sub(byte(scale[g / 4], g % 4), I::ints(32)));
      pair_scales<16>(f);
      f.d = I::low_halves(I::right(tail.c[3], 16));
    }

    template <typename Sink>
    [[gnu::always_inline]] static void each_column(const std::uint8_t* p, std::size_t stride, Sink sink) {
      const Int low2 = I::bytes(0x03);
      const Int third = I::bytes(0x04);
      const Columns high[2] = {I::load_columns(p, stride), I::load_columns(p + 16, stride)};
#pragma GCC unroll 4
      for (std::size_t chunk = 0; chunk < 4; ++chunk) {
        const Columns packed = I::load_columns(p + 32 + chunk * 16, stride);
#pragma GCC unroll 4
        for (unsigned pair = 0; pair < 4; ++pair) {
          const unsigned bit = static_cast<unsigned>(chunk) / 2 * 4 + pair;
#pragma GCC unroll 4
          for (std::size_t i = 0; i < 4; ++i) {
            const Int bits = high[chunk % 2].c[i];
            const Int moved = bit < 2 ? I::left(bits, 2 - bit) : I::right(bits, bit - 2);
            sink(chunk / 2 * 32 + pair * 8 + chunk % 2 * 4 + i,
                 I::either(I::both(I::right(packed.c[i], 2 * pair), low2), I::both(moved, third)));
          }
        }
      }
    }
  };

  struct Q4_K : Unsigned {
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

  struct Q5_K : Unsigned {
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

  // Weights are q − 32.
  struct Q6_K : Unsigned {
    static constexpr std::size_t block_bytes = 210;
    static constexpr std::size_t groups = 16;
    static constexpr int largest = 63;
    static constexpr int offset = 32;

    [[gnu::always_inline]] static void factors(const std::uint8_t* p, std::size_t stride, Factors& f) {
      const Columns scales = I::load_columns(p + 192, stride);
#pragma GCC unroll 16
      for (unsigned g = 0; g < 16; ++g)
        f.scale[g] = I::scale(I::signed_right(I::left(scales.c[g / 4], 24 - g % 4 * 8), 24));
      pair_scales<16>(f);
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

  // The table's values for the low and the high nibbles, as I::prepare_signed makes them.
  struct IQ4Values {
    Int table = I::prepare_signed(I::repeat16(quant::iq4_values));
    Int low4 = I::bytes(0x0f);

    [[gnu::always_inline]] Int low(Int x) const { return I::look_up(table, I::both(x, low4)); }
    [[gnu::always_inline]] Int high(Int x) const { return I::look_up(table, I::both(I::right(x, 4), low4)); }
  };

  struct IQ4_XS : Signed {
    static constexpr std::size_t block_bytes = 136;
    static constexpr std::size_t groups = 8;
    static constexpr int largest = 127;

    [[gnu::always_inline]] static void factors(const std::uint8_t* p, std::size_t stride, Factors& f) {
      const Columns header = I::load_columns(p, stride);
#pragma GCC unroll 8
      for (unsigned g = 0; g < 8; ++g) {
        const Int low = I::both(I::right(header.c[1], 4 * g), I::ints(0x0f));
        const Int high = I::both(I::right(header.c[0], 12 + 2 * g), I::ints(0x30));
        f.scale[g] = I::scale(I::sub(I::either(low, high), I::ints(32)));
      }
      pair_scales<8>(f);
      f.d = I::low_halves(header.c[0]);
    }

    template <typename Sink>
    [[gnu::always_inline]] static void each_column(const std::uint8_t* p, std::size_t stride, Sink sink) {
      const IQ4Values values;
#pragma GCC unroll 8
      for (std::size_t group = 0; group < 8; ++group) {
        const Columns packed = I::load_columns(p + 8 + group * 16, stride);
#pragma GCC unroll 4
        for (std::size_t i = 0; i < 4; ++i) sink(group * 8 + i, values.low(packed.c[i]));
#pragma GCC unroll 4
        for (std::size_t i = 0; i < 4; ++i) sink(group * 8 + 4 + i, values.high(packed.c[i]));
      }
    }
  };

  // --- formats with blocks of 32 -------------------------------------------------------------------------------------

  struct SmallBlock {
    Int q[8];  // lane r of q[k]: columns 4k to 4k+3 of row r
    Float d;
    Float m;
  };

  [[gnu::always_inline]] static void unpack_nibbles(const std::uint8_t* p, std::size_t stride, SmallBlock& out) {
    const Columns packed = I::load_columns(p, stride);
    const Int low4 = I::bytes(0x0f);
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) {
      out.q[i] = I::both(packed.c[i], low4);
      out.q[4 + i] = I::both(I::right(packed.c[i], 4), low4);
    }
  }

  [[gnu::always_inline]] static void add_fifth_bits(Int high, SmallBlock& out) {
#pragma GCC unroll 8
    for (unsigned k = 0; k < 8; ++k) out.q[k] = I::either(out.q[k], I::fifth_bits(high, k));
  }

  // d and, in formats that have it, m: the first four bytes.
  [[gnu::always_inline]] static void unpack_factors(Int first, SmallBlock& out) {
    out.d = I::low_halves(first);
    out.m = I::low_halves(I::right(first, 16));
  }

  struct Q8_0 : Signed {
    static constexpr std::size_t block_bytes = 34;
    static constexpr int largest = 128;

    [[gnu::always_inline]] static void unpack(const std::uint8_t* p, std::size_t stride, SmallBlock& out) {
      unpack_factors(I::load_columns(p, stride).c[0], out);
      const Columns part[2] = {I::load_columns(p + 2, stride), I::load_columns(p + 18, stride)};
#pragma GCC unroll 8
      for (std::size_t k = 0; k < 8; ++k) out.q[k] = I::prepare_signed(part[k / 4].c[k % 4]);
    }
  };

  struct Q4_0 : Unsigned {
    static constexpr std::size_t block_bytes = 18;
    static constexpr int largest = 15;
    static constexpr int offset = 8;

    [[gnu::always_inline]] static void unpack(const std::uint8_t* p, std::size_t stride, SmallBlock& out) {
      unpack_factors(I::load_columns(p, stride).c[0], out);
      unpack_nibbles(p + 2, stride, out);
    }
  };

  struct Q4_1 : Unsigned {
    static constexpr std::size_t block_bytes = 20;
    static constexpr int largest = 15;
    static constexpr bool has_mins = true;

    [[gnu::always_inline]] static void unpack(const std::uint8_t* p, std::size_t stride, SmallBlock& out) {
      unpack_factors(I::load_columns(p, stride).c[0], out);
      unpack_nibbles(p + 4, stride, out);
    }
  };

  struct Q5_0 : Unsigned {
    static constexpr std::size_t block_bytes = 22;
    static constexpr int largest = 31;
    static constexpr int offset = 16;

    [[gnu::always_inline]] static void unpack(const std::uint8_t* p, std::size_t stride, SmallBlock& out) {
      const Columns header = I::load_columns(p, stride);
      unpack_factors(header.c[0], out);
      unpack_nibbles(p + 6, stride, out);
      add_fifth_bits(I::either(I::right(header.c[0], 16), I::left(header.c[1], 16)), out);
    }
  };

  struct Q5_1 : Unsigned {
    static constexpr std::size_t block_bytes = 24;
    static constexpr int largest = 31;
    static constexpr bool has_mins = true;

    [[gnu::always_inline]] static void unpack(const std::uint8_t* p, std::size_t stride, SmallBlock& out) {
      const Columns header = I::load_columns(p, stride);
      unpack_factors(header.c[0], out);
      unpack_nibbles(p + 8, stride, out);
      add_fifth_bits(header.c[1], out);
    }
  };

  struct IQ4_NL : Signed {
    static constexpr std::size_t block_bytes = 18;
    static constexpr int largest = 127;

    [[gnu::always_inline]] static void unpack(const std::uint8_t* p, std::size_t stride, SmallBlock& out) {
      unpack_factors(I::load_columns(p, stride).c[0], out);
      const Columns packed = I::load_columns(p + 2, stride);
      const IQ4Values values;
#pragma GCC unroll 4
      for (std::size_t i = 0; i < 4; ++i) {
        out.q[i] = values.low(packed.c[i]);
        out.q[4 + i] = values.high(packed.c[i]);
      }
    }
  };
};

}  // namespace
}  // namespace compute::cpu
