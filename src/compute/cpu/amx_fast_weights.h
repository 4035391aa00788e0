// Weights for fast products on AMX tiles: those of a row are rounded to int8 with one scale for each 512 columns, mins
// included:
//   w ≈ d · q, d = largest / 127,
// where largest is the largest magnitude that the scales and mins of the columns' groups allow. With a = scale / d and
// b = -min / d for a group, q is a · nibble + b in fixed point with 8 bits after the point, rounded.
//
// Everything is in an anonymous namespace and calls no library function: each file that includes it gets its own copy.
#pragma once

#include "compute/cpu/amx_panels.h"

namespace compute::cpu {
namespace {

constexpr std::size_t group_blocks = fast_columns / 256;

// A panel's weights of a group of columns. Blocks that a row has not are zero.
struct FastPanel {
  std::int8_t q[group_blocks * steps][tile_bytes];
  float d[lanes];
};

// What turns q of each group of a block into bytes, in both 16-bit halves of a lane: (a · q + b) >> 8. Until the
// factors of all blocks are known, the bits of its scale and its min.
struct FastFactors {
  Int a[group_blocks][16];
  Int b[group_blocks][16];
  Float largest;
};

template <typename Format>
Float magnitude(const Factors& f, std::size_t g, Float scale, Float& min) {
  const auto absolute = [](Float x) { return _mm512_abs_ps(x); };
  if constexpr (Format::has_mins) {
    const Int packed = f.pairs[g / 2];
    min = I::mul(f.dmin, I::to_floats(g % 2 == 0 ? I::both(packed, I::ints(0xffff)) : I::right(packed, 16)));
    const Float high = _mm512_sub_ps(I::mul(scale, I::floats(Format::largest)), min);
    return _mm512_max_ps(absolute(min), absolute(high));
  } else {
    constexpr int most = Format::is_signed                                   ? Format::largest
                         : Format::offset > Format::largest - Format::offset ? Format::offset
                                                                             : Format::largest - Format::offset;
    min = I::floats(0);
    return I::mul(absolute(scale), I::floats(most));
  }
}

template <typename Format>
void read_factors(const std::uint8_t* p, std::size_t stride, FastFactors& factors, std::size_t block) {
  Factors f;
  Format::factors(p, stride, f);
  Float largest = I::floats(0);
#pragma GCC unroll 16
  for (std::size_t g = 0; g < Format::groups; ++g) {
    const Float scale = I::mul(f.d, I::to_floats(f.scale[g]));
    Float min;
    // A maximum can lose a NaN, but not all of them: a factor that is not finite makes every group infinite or NaN.
    largest = _mm512_max_ps(largest, magnitude<Format>(f, g, scale, min));
    factors.a[block][g] = _mm512_castps_si512(scale);
    factors.b[block][g] = _mm512_castps_si512(min);
  }
  // A maximum is its second operand if either is NaN.
  if (block > 0) {
    const __mmask16 nan = _mm512_cmp_ps_mask(largest, largest, _CMP_UNORD_Q);
    largest = _mm512_mask_mov_ps(_mm512_max_ps(largest, factors.largest), nan, largest);
  }
  factors.largest = largest;
}

template <typename Format>
void finish_factors(FastFactors& factors, std::size_t blocks, float* d) {
  const Float largest = factors.largest;
  const __mmask16 normal = _mm512_cmp_ps_mask(largest, I::floats(0x1p-100F), _CMP_NLT_UQ);
  const Float inverse = _mm512_maskz_div_ps(normal, I::floats(127.0F * 256), largest);
  _mm512_store_ps(d, _mm512_maskz_mul_ps(normal, largest, I::floats(1.0F / 127)));
  for (std::size_t block = 0; block < blocks; ++block) {
#pragma GCC unroll 16
    for (std::size_t g = 0; g < Format::groups; ++g) {
      constexpr int half = 128;
      const auto rounded = [&](Int x) { return _mm512_cvtps_epi32(I::mul(_mm512_castsi512_ps(x), inverse)); };
      const Int factor = rounded(factors.a[block][g]);
      Int offset;
      if constexpr (Format::has_mins) {
        offset = _mm512_sub_epi32(I::ints(half), rounded(factors.b[block][g]));
      } else {
        constexpr auto shift = static_cast<unsigned>(__builtin_ctz(Format::offset));
        offset = I::sub(I::ints(half), I::left(factor, shift));
      }
      factors.a[block][g] = twice(factor);
      factors.b[block][g] = twice(offset);
    }
  }
}

// The weights of a block are unpacked in as many steps as their bytes can be taken apart without unpacking any twice.
template <typename Format>
constexpr std::size_t column_parts = __is_same(Format, Formats::Q4_K) || __is_same(Format, Formats::IQ4_XS) ? 4 : 2;

template <typename Format, std::size_t part>
void unpack_columns(const std::uint8_t* p, std::size_t stride, const Int* factor, const Int* offset, std::int8_t* q) {
  Format::each_column(
      p, stride, [&](std::size_t k, Int w) __attribute__((always_inline)) {
        if (k * column_parts<Format> / 64 != part) return;
        const std::size_t g = k * Format::groups / 64;
        const Int even = _mm512_add_epi16(_mm512_mullo_epi16(I::both(w, I::ints(0x00ff00ff)), factor[g]), offset[g]);
        const Int odd = _mm512_add_epi16(_mm512_mullo_epi16(_mm512_srli_epi16(w, 8), factor[g]), offset[g]);
        _mm512_store_si512(q + k * 64, merge(_mm512_srli_epi16(even, 8), odd));
      });
}

// Weights that are unpacked while others are multiplied, a little between any two steps: the processor does both at a
// time, since products of tiles leave it most of its other units.
struct Unpacking {
  const WeightRows* w;
  std::size_t group;       // of columns
  std::size_t row;         // of the first of two panels; rows that the weight has not are zero
  std::size_t next_group;  // what is unpacked after it: its bytes are asked for from memory
  std::size_t next_row;
  FastPanel* to;
  FastFactors* factors;
  void (*unpack)(const Unpacking&, std::size_t part);
  std::size_t parts;
  std::size_t done = 0;

  // Keeps up with a work of which `part` of `all` is done.
  void advance(std::size_t part, std::size_t all) {
    while (done * all < parts * part) unpack(*this, done++);
  }
  void finish() { advance(1, 1); }
};

template <typename Format>
constexpr std::size_t panel_parts = group_blocks*(1 + column_parts<Format>);

template <typename Format>
void unpack_part(const Unpacking& u, std::size_t index) {
  const std::size_t row = u.row + index / panel_parts<Format> * lanes;
  FastPanel& to = u.to[index / panel_parts<Format>];
  const std::size_t left = u.w->cols / 256 - u.group * group_blocks;
  const std::size_t blocks = left < group_blocks ? left : group_blocks;
  const auto with_block = [&](std::size_t block, auto body) __attribute__((always_inline)) {
    with_rows<lanes, Format::block_bytes>(*u.w, row, u.group * group_blocks + block, body);
  };
  // First the factors of all blocks, then the weights.
  if (std::size_t part = index % panel_parts<Format>; part < group_blocks) {
    const std::size_t block = part;
    if (block >= blocks) return;
    with_block(block,
               [&](const std::uint8_t* p, std::size_t stride) { read_factors<Format>(p, stride, *u.factors, block); });
    if (block + 1 == blocks) finish_factors<Format>(*u.factors, blocks, to.d);
    const std::uint8_t* ahead = u.w->data + (u.next_group * group_blocks + block) * Format::block_bytes;
    const std::size_t first = row - u.row + u.next_row;
    for (std::size_t r = first; r < first + lanes && r < u.w->rows; ++r) {
      for (std::size_t at = 0; at < Format::block_bytes; at += 64)
        __builtin_prefetch(ahead + r * u.w->row_bytes + at, 0, 2);
    }
  } else {
    part -= group_blocks;
    const std::size_t block = part / column_parts<Format>;
    part %= column_parts<Format>;
    std::int8_t* q = to.q[block * steps];
    if (block >= blocks) {
      if (part == 0) __builtin_memset(q, 0, steps * tile_bytes);
      return;
    }
    const Int* a = u.factors->a[block];
    const Int* b = u.factors->b[block];
    with_block(block, [&](const std::uint8_t* p, std::size_t stride) {
      if (part == 0) unpack_columns<Format, 0>(p, stride, a, b, q);
      if (part == 1) unpack_columns<Format, 1>(p, stride, a, b, q);
      if constexpr (column_parts<Format> == 4) {
        if (part == 2) unpack_columns<Format, 2>(p, stride, a, b, q);
        if (part == 3) unpack_columns<Format, 3>(p, stride, a, b, q);
      }
    });
  }
}

}  // namespace
}  // namespace compute::cpu
