// Kernels for AMX: products of int8 on tiles, for batches of blocks of 256; all else is AVX-512's.
//
// The lanes of a panel are 16 weight rows, as in vector_products.h: its vectors of four columns of each row are the
// rows of a tile b, so the same formats unpack them. Tiles of activations are read where they lie, 16 rows of 64
// columns.
//
// Exact: scale · q of a weight, 14 bits at most with its sign, is taken apart into 256 · high + low, high signed and
// low not, and each has its own products; what is left is docs/numerics.md's float chain.
//
// Fast: the weights of a row are rounded to int8 with one scale for each 256 columns, mins included:
//   w ≈ d · q, d = largest / 127,
// where largest is the largest magnitude that the scales and mins of the row's groups allow. With a = scale / d and b =
// -min / d for a group, q is a · nibble + b in fixed point with 8 bits after the point, rounded. The products of 256
// columns are exact in int32; then acc = fma(d · dx, float(S), acc), blocks in ascending order, from acc = 0.
#include <immintrin.h>

#include <utility>

#include "compute/cpu/amx_attention.h"
#include "compute/cpu/avx512_integers.h"
#include "compute/cpu/kernels.h"
#include "compute/cpu/tiles.h"
#include "compute/cpu/vector_formats.h"

namespace compute::cpu {
namespace {

using I = Int512;
using Int = I::Int;
using Float = I::Float;
using Formats = ProductFormats<I>;
using Factors = Formats::Factors;

constexpr std::size_t lanes = 16;
constexpr std::size_t steps = 256 / tile_row_bytes;  // products of tiles for a block of 256 columns

int load32(const void* p) {
  int value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

// Sums are laid out as [tile of activations][panel][row][lane], in pairs of panels.
constexpr std::size_t pair_floats = 2 * tile_rows * lanes;  // of one tile of activations

constexpr std::size_t least_exact_rows = tile_rows;  // activation rows from which on exact products are faster on tiles

// Asks memory for the b-th piece, as long as a chunk's blocks, of the weight rows from r on, so that over all b they are
// asked for whole: the processor does not follow that many rows by itself.
template <std::size_t bytes>
[[gnu::always_inline]] inline void ask_for_next(const WeightRows& w, std::size_t r, std::size_t b) {
  const std::uint8_t* p = w.data + r * w.row_bytes + b * bytes;
  for (std::size_t at = 0; at < bytes; at += 64) __builtin_prefetch(p + at, 0, 2);
}

// Both 16-bit halves of a lane: its low 16 bits.
Int twice(Int x) { return _mm512_shuffle_epi8(x, _mm512_set4_epi32(0x0d0c0d0c, 0x09080908, 0x05040504, 0x01000100)); }

// Bytes 0 and 2 from `even`, 1 and 3 from `odd`.
Int merge(Int even, Int odd) {
  constexpr int choose = 0xca;
  return _mm512_ternarylogic_epi32(I::ints(0x00ff00ff), even, odd, choose);
}

// Calls body(p, stride), p being block `block` of weight row r and stride the way to the next row; on a copy in which
// missing rows are zero, where fewer than 16 are left.
template <std::size_t block_bytes, typename Body>
[[gnu::always_inline]] inline void with_rows(const WeightRows& w, std::size_t r, std::size_t block, Body body) {
  const std::uint8_t* p = w.data + r * w.row_bytes + block * block_bytes;
  if (w.rows >= r + lanes) {
    body(p, w.row_bytes);
  } else {
    std::uint8_t copy[lanes * block_bytes] = {};
    for (std::size_t i = 0; r + i < w.rows; ++i)
      __builtin_memcpy(copy + i * block_bytes, p + i * w.row_bytes, block_bytes);
    body(copy, block_bytes);
  }
}

// Where tiles of activation rows begin: every 16 rows, the last one so that it ends with the last row. Fewer than 16
// rows are one tile of as many.
std::size_t tiles_of(std::size_t n) { return (n + tile_rows - 1) / tile_rows; }
std::size_t first_row(std::size_t tile, std::size_t n) {
  return tile * tile_rows + tile_rows <= n || n < tile_rows ? tile * tile_rows : n - tile_rows;
}

// Lanes of sums that are kept, not begun.
__mmask16 keep(bool begin) { return static_cast<__mmask16>(begin ? 0 : 0xffff); }

// Puts the sums [tile][row][16] of weight rows r to r + 15 where they belong.
void put(const float* sums, std::size_t tile_stride, std::size_t n, const WeightRows& w, std::size_t r,
         const Output& out) {
  const std::size_t left = w.rows - r;
  const auto mask = static_cast<__mmask16>(left >= lanes ? 0xffffU : (1U << left) - 1U);
  for (std::size_t a = 0; a < n; ++a) {
    const std::size_t tile = a / tile_rows;
    const float* sum = sums + tile * tile_stride + (a - first_row(tile, n)) * lanes;
    float* y = out.y + a * out.stride + r;
    Float value = _mm512_load_ps(sum);
    if (out.add) value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), value);
    _mm512_mask_storeu_ps(y, mask, value);
  }
}

// --- exact -----------------------------------------------------------------------------------------------------------

struct ExactFactors {
  Int mins[8];  // as Factors::pairs
  Float d;
  Float dmin;
};

struct ExactPanel {
  std::int8_t high[steps][tile_bytes];
  std::uint8_t low[steps][tile_bytes];
};

struct ExactScratch {
  ExactPanel panels[2];
  ExactFactors factors[2][2];  // of the present block and the one before, of each panel
  alignas(64) float sums[block_rows / tile_rows][2][tile_rows * lanes];
  alignas(64) float unused[2][2][tile_rows * lanes];
  alignas(64) std::int32_t products[2][4][tile_rows * lanes];
};

template <typename Format>
void unpack_exact(const std::uint8_t* p, std::size_t stride, ExactPanel& panel, ExactFactors& factors) {
  Factors f;
  Format::factors(p, stride, f);
  factors.d = f.d;
  if constexpr (Format::has_mins) {
    factors.dmin = f.dmin;
#pragma GCC unroll 8
    for (std::size_t i = 0; i < Format::groups / 2; ++i) factors.mins[i] = f.pairs[i];
  }
  // Scales as 16-bit pairs of bytes, (scale, 0) and (0, scale).
  const Int for_even = _mm512_set4_epi32(static_cast<int>(0x800c800cU), static_cast<int>(0x80088008U),
                                         static_cast<int>(0x80048004U), static_cast<int>(0x80008000U));
  const Int for_odd = _mm512_set4_epi32(0x0c800c80, 0x08800880, 0x04800480, 0x00800080);
  Int even_scale[Format::groups];
  Int odd_scale[Format::groups];
  Int offset[Format::groups];
#pragma GCC unroll 16
  for (std::size_t g = 0; g < Format::groups; ++g) {
    even_scale[g] = _mm512_shuffle_epi8(f.scale[g], for_even);
    odd_scale[g] = _mm512_shuffle_epi8(f.scale[g], for_odd);
    if constexpr (Format::offset != 0)
      offset[g] = _mm512_slli_epi16(twice(f.scale[g]), static_cast<unsigned>(__builtin_ctz(Format::offset)));
  }
  Format::each_column(
      p, stride, [&](std::size_t k, Int w) __attribute__((always_inline)) {
        const std::size_t g = k * Format::groups / 64;
        Int even = _mm512_maddubs_epi16(w, even_scale[g]);
        Int odd = _mm512_maddubs_epi16(w, odd_scale[g]);
        if constexpr (Format::offset != 0) {
          even = _mm512_sub_epi16(even, offset[g]);
          odd = _mm512_sub_epi16(odd, offset[g]);
        }
        _mm512_store_si512(panel.high[0] + k * 64, merge(_mm512_srli_epi16(even, 8), odd));
        _mm512_store_si512(panel.low[0] + k * 64, merge(even, _mm512_slli_epi16(odd, 8)));
      });
}

// One step: a block of 256 columns of some tiles of activations and some panels.
struct ExactStep {
  const SuperRow* x[2];         // the first row of each tile of activations
  const ExactFactors* factors;  // of each panel
  float* sums;                  // [tile of activations][2][row][lane]
  __mmask16 keep;               // none, if sums begin with it, or all
};

// Adds the products of two of a step's vectors to the sums.
template <typename Format, std::size_t A, std::size_t P, std::size_t piece>
[[gnu::always_inline]] inline void add_piece(const ExactStep& step, const std::int32_t (*products)[tile_rows * lanes]) {
#pragma GCC unroll 2
  for (std::size_t v = 2 * piece; v < 2 * piece + 2; ++v) {
    const std::size_t p = v % P;
    const std::size_t row = v / P % tile_rows;
    const std::size_t a = v / P / tile_rows;
    const SuperRow* x = step.x[a] + row;
    const ExactFactors& f = step.factors[p];
    const std::int32_t* high = products[(a * P + p) * 2] + row * lanes;
    const std::int32_t* low = products[(a * P + p) * 2 + 1] + row * lanes;
    float* sum = step.sums + ((a * 2 + p) * tile_rows + row) * lanes;
    const Float dx = I::floats(x->d);
    const Int total = _mm512_add_epi32(I::left(_mm512_load_si512(high), 8), _mm512_load_si512(low));
    Float acc = _mm512_maskz_load_ps(step.keep, sum);
    acc = I::fma(I::mul(f.d, dx), I::to_floats(total), acc);
    if constexpr (Format::has_mins) {
      const std::int16_t* group_sums = Format::groups == 8 ? x->sums32 : x->sums16;
      Int mins = I::ints(0);
#pragma GCC unroll 8
      for (std::size_t i = 0; i < Format::groups / 2; ++i)
        mins = I::add_pairs(mins, f.mins[i], I::ints(load32(group_sums + 2 * i)));
      acc = I::fnma(I::mul(f.dmin, dx), I::to_floats(mins), acc);
    }
    I::store(sum, acc);
  }
}

template <typename Format, std::size_t A, std::size_t P>
[[gnu::always_inline]] inline void add_all(const ExactStep& step, const std::int32_t (*products)[tile_rows * lanes]) {
  const auto all = [&]<std::size_t... piece>(std::index_sequence<piece...>) {
    (add_piece<Format, A, P, piece>(step, products), ...);
  };
  all(std::make_index_sequence<A * P * 8>());
}

// The products of a step, of A tiles and P panels, A · P at most 2; between them the sums of the one before.
template <typename Format, std::size_t A, std::size_t P>
[[gnu::always_inline]] inline void run_step(const ExactStep& step, const ExactPanel* panels,
                                            std::int32_t (*products)[tile_rows * lanes], const ExactStep& before,
                                            const std::int32_t (*products_before)[tile_rows * lanes]) {
  static_assert(A * P <= 2);
  tile_zero<0>();
  tile_zero<1>();
  if constexpr (A * P == 2) tile_zero<2>();
  if constexpr (A * P == 2) tile_zero<3>();
  const auto one = [&]<std::size_t s>() {
    constexpr std::size_t piece = s * A * P * 2;
    tile_load<4>(step.x[0]->q + s * tile_row_bytes, sizeof(SuperRow));
    if constexpr (A == 2) tile_load<5>(step.x[1]->q + s * tile_row_bytes, sizeof(SuperRow));
    tile_load<6>(panels[0].high[s], tile_row_bytes);
    tile_load<7>(panels[0].low[s], tile_row_bytes);
    tile_dot_signed<0, 4, 6>();
    add_piece<Format, A, P, piece>(before, products_before);
    tile_dot_unsigned<1, 4, 7>();
    add_piece<Format, A, P, piece + 1>(before, products_before);
    if constexpr (P == 2) {
      tile_load<6>(panels[1].high[s], tile_row_bytes);
      tile_load<7>(panels[1].low[s], tile_row_bytes);
    }
    if constexpr (A * P == 2) {
      constexpr int a = A == 2 ? 5 : 4;
      tile_dot_signed<2, a, 6>();
      add_piece<Format, A, P, piece + 2>(before, products_before);
      tile_dot_unsigned<3, a, 7>();
      add_piece<Format, A, P, piece + 3>(before, products_before);
    }
  };
  one.template operator()<0>();
  one.template operator()<1>();
  one.template operator()<2>();
  one.template operator()<3>();
  tile_store<0>(products[0], tile_row_bytes);
  tile_store<1>(products[1], tile_row_bytes);
  if constexpr (A * P == 2) tile_store<2>(products[2], tile_row_bytes);
  if constexpr (A * P == 2) tile_store<3>(products[3], tile_row_bytes);
}

// P panels of weight rows from r on, with one tile of activations.
template <typename Format, std::size_t P>
void multiply_tile(ExactScratch& s, const WeightRows& w, std::size_t r, const SuperRow* x) {
  ExactStep before{{x, x}, s.factors[1], s.unused[0][0], 0};
  for (std::size_t b = 0; b < w.cols / 256; ++b) {
    ask_for_next<Format::block_bytes * P * lanes>(w, r + P * lanes, b);
    for (std::size_t p = 0; p < P; ++p) {
      with_rows<Format::block_bytes>(w, r + p * lanes, b, [&](const std::uint8_t* bytes, std::size_t stride) {
        unpack_exact<Format>(bytes, stride, s.panels[p], s.factors[b % 2][p]);
      });
    }
    const SuperRow* block = x + b * tile_rows;
    const ExactStep step{{block, block}, s.factors[b % 2], s.sums[0][0], keep(b == 0)};
    run_step<Format, 1, P>(step, s.panels, s.products[b % 2], before, s.products[1 - b % 2]);
    before = step;
  }
  add_all<Format, 1, P>(before, s.products[(w.cols / 256 - 1) % 2]);
}

// Up to two panels of weight rows from r on, with more than one tile of activations. Tiles go in pairs, which each
// panel is multiplied with in turn.
template <typename Format>
void multiply_tiles(ExactScratch& s, const WeightRows& w, std::size_t r, const SuperRow* x, std::size_t n) {
  const std::size_t tiles = tiles_of(n);
  for (std::size_t b = 0; b < w.cols / 256; ++b) {
    ask_for_next<Format::block_bytes * 2 * lanes>(w, r + 2 * lanes, b);
    const std::size_t panels = w.rows - r > lanes ? 2 : 1;
    for (std::size_t p = 0; p < panels; ++p) {
      with_rows<Format::block_bytes>(w, r + p * lanes, b, [&](const std::uint8_t* bytes, std::size_t stride) {
        unpack_exact<Format>(bytes, stride, s.panels[p], s.factors[0][p]);
      });
    }
    const SuperRow* block = x + b * n;
    ExactStep before{{x, x}, s.factors[0], s.unused[0][0], 0};
    std::size_t parity = 0;
    for (std::size_t tile = 0; tile + 2 <= tiles; tile += 2) {
      for (std::size_t p = 0; p < panels; ++p) {
        const ExactStep step{{block + first_row(tile, n), block + first_row(tile + 1, n)},
                             &s.factors[0][p],
                             s.sums[tile][p],
                             keep(b == 0)};
        run_step<Format, 2, 1>(step, &s.panels[p], s.products[parity], before, s.products[1 - parity]);
        before = step;
        parity = 1 - parity;
      }
    }
    add_all<Format, 2, 1>(before, s.products[1 - parity]);
    if (tiles % 2 == 1) {
      const SuperRow* last = block + first_row(tiles - 1, n);
      const ExactStep step{{last, last}, s.factors[0], s.sums[tiles - 1][0], keep(b == 0)};
      const ExactStep none{{x, x}, s.factors[0], s.unused[0][0], 0};
      if (panels == 2) {
        run_step<Format, 1, 2>(step, s.panels, s.products[0], none, s.products[1]);
        add_all<Format, 1, 2>(step, s.products[0]);
      } else {
        run_step<Format, 1, 1>(step, s.panels, s.products[0], none, s.products[1]);
        add_all<Format, 1, 1>(step, s.products[0]);
      }
    }
  }
}

template <typename Format, SuperProduct* Kernels::*for_few>
void product_exact(const WeightRows& w, const SuperRow* x, std::size_t n, const Output& out) {
  if (n < least_exact_rows) return (avx512_kernels().*for_few)(w, x, n, out);
  ExactScratch s;
  // What the first steps find as those before them.
  __builtin_memset(s.products, 0, sizeof s.products);
  __builtin_memset(s.factors, 0, sizeof s.factors);
  const Tiles tiles;
  for (std::size_t r = 0; r < w.rows; r += 2 * lanes) {
    const bool both = w.rows - r > lanes;
    if (n > tile_rows) {
      multiply_tiles<Format>(s, w, r, x, n);
    } else if (both) {
      multiply_tile<Format, 2>(s, w, r, x);
    } else {
      multiply_tile<Format, 1>(s, w, r, x);
    }
    put(s.sums[0][0], pair_floats, n, w, r, out);
    if (both) put(s.sums[0][1], pair_floats, n, w, r + lanes, out);
  }
}

// --- fast ------------------------------------------------------------------------------------------------------------

// Blocks of columns whose weights are unpacked at a time: two panels of them take 16 KB, and as many are multiplied
// meanwhile.
constexpr std::size_t chunk_blocks = 2;

struct FastPanel {
  std::int8_t q[chunk_blocks][steps][tile_bytes];
  float d[chunk_blocks][lanes];
};

// What turns q of each group into bytes, in both 16-bit halves of a lane: (a · q + b) >> 8.
struct FastFactors {
  Int a[16];
  Int b[16];
};

struct FastScratch {
  FastPanel panels[2][2];  // what is multiplied, and what is unpacked meanwhile; of each panel
  FastFactors factors;     // of the block that is being unpacked
  float sums[fast_weight_rows / (2 * lanes)][fast_rows / tile_rows + 2][pair_floats];
  float unused[2 * pair_floats];
  std::int32_t products[2][2 * pair_floats];
};
static_assert(sizeof(FastScratch) <= fast_scratch_bytes);

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
void unpack_factors(const std::uint8_t* p, std::size_t stride, FastFactors& factors, float* d) {
  Factors f;
  Format::factors(p, stride, f);
  Float scale[Format::groups];
  Float min[Format::groups];
  Float largest = I::floats(0);
#pragma GCC unroll 16
  for (std::size_t g = 0; g < Format::groups; ++g) {
    scale[g] = I::mul(f.d, I::to_floats(f.scale[g]));
    // A maximum can lose a NaN, but not all of them: a factor that is not finite makes every group infinite or NaN.
    largest = _mm512_max_ps(largest, magnitude<Format>(f, g, scale[g], min[g]));
  }
  const __mmask16 normal = _mm512_cmp_ps_mask(largest, I::floats(0x1p-100F), _CMP_NLT_UQ);
  const Float inverse = _mm512_maskz_div_ps(normal, I::floats(127.0F * 256), largest);
  _mm512_store_ps(d, _mm512_maskz_mul_ps(normal, largest, I::floats(1.0F / 127)));
#pragma GCC unroll 16
  for (std::size_t g = 0; g < Format::groups; ++g) {
    constexpr int half = 128;
    const Int factor = _mm512_cvtps_epi32(I::mul(scale[g], inverse));
    Int offset;
    if constexpr (Format::has_mins) {
      offset = _mm512_sub_epi32(I::ints(half), _mm512_cvtps_epi32(I::mul(min[g], inverse)));
    } else {
      constexpr auto shift = static_cast<unsigned>(__builtin_ctz(Format::offset));
      offset = I::sub(I::ints(half), I::left(factor, shift));
    }
    factors.a[g] = twice(factor);
    factors.b[g] = twice(offset);
  }
}

// The weights of a block are unpacked in as many steps as their bytes can be taken apart without unpacking any twice.
template <typename Format>
constexpr std::size_t column_parts = __is_same(Format, Formats::Q4_K) || __is_same(Format, Formats::IQ4_XS) ? 4 : 2;

template <typename Format, std::size_t part>
void unpack_columns(const std::uint8_t* p, std::size_t stride, const FastFactors& f, std::int8_t* q) {
  Format::each_column(
      p, stride, [&](std::size_t k, Int w) __attribute__((always_inline)) {
        if (k * column_parts<Format> / 64 != part) return;
        const std::size_t g = k * Format::groups / 64;
        const Int even = _mm512_add_epi16(_mm512_mullo_epi16(I::both(w, I::ints(0x00ff00ff)), f.a[g]), f.b[g]);
        const Int odd = _mm512_add_epi16(_mm512_mullo_epi16(_mm512_srli_epi16(w, 8), f.a[g]), f.b[g]);
        _mm512_store_si512(q + k * 64, merge(_mm512_srli_epi16(even, 8), odd));
      });
}

// Weights that are unpacked while others are multiplied, a little between any two steps: the processor does both at a
// time, since products of tiles leave it most of its other units.
struct Unpacking {
  const WeightRows* w;
  std::size_t from;    // block of columns
  std::size_t blocks;  // of columns
  std::size_t row;     // of the first panel
  std::size_t panels;
  std::size_t next_from;  // what is unpacked after it: its bytes are asked for from memory
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
void unpack_part(const Unpacking& u, std::size_t index) {
  constexpr std::size_t each = 1 + column_parts<Format>;
  const std::size_t panel = index / each / u.blocks;
  const std::size_t block = index / each % u.blocks;
  const std::size_t part = index % each;
  std::int8_t* q = u.to[panel].q[block][0];
  with_rows<Format::block_bytes>(*u.w, u.row + panel * lanes, u.from + block,
                                 [&](const std::uint8_t* p, std::size_t stride) {
                                   if (part == 0) unpack_factors<Format>(p, stride, *u.factors, u.to[panel].d[block]);
                                   if (part == 1) unpack_columns<Format, 0>(p, stride, *u.factors, q);
                                   if (part == 2) unpack_columns<Format, 1>(p, stride, *u.factors, q);
                                   if constexpr (column_parts<Format> == 4) {
                                     if (part == 3) unpack_columns<Format, 2>(p, stride, *u.factors, q);
                                     if (part == 4) unpack_columns<Format, 3>(p, stride, *u.factors, q);
                                   }
                                 });
  if (part != 0) return;
  const std::size_t first = u.next_row + panel * lanes;
  const std::uint8_t* ahead = u.w->data + (u.next_from + block) * Format::block_bytes;
  for (std::size_t r = first; r < first + lanes && r < u.w->rows; ++r) {
    for (std::size_t at = 0; at < Format::block_bytes; at += 64)
      __builtin_prefetch(ahead + r * u.w->row_bytes + at, 0, 2);
  }
}

// One step: a block of 256 columns of some tiles of activations and some panels.
struct FastStep {
  const SuperRow* x[2];  // the first row of each tile of activations
  std::size_t last;      // row of a tile
  const float* d[2];     // of each panel
  float* sums;
  __mmask16 keep;  // none, if sums begin with it, or all
};

// Adds the products of four of a step's vectors to the sums.
template <std::size_t A, std::size_t P, std::size_t piece>
[[gnu::always_inline]] inline void add_piece(const FastStep& step, const std::int32_t* products, const Float (&d)[2]) {
#pragma GCC unroll 4
  for (std::size_t v = 4 * piece; v < 4 * piece + 4; ++v) {
    const std::size_t p = v % P;
    const std::size_t row = v / P % tile_rows;
    const std::size_t a = v / P / tile_rows;
    const SuperRow* x = step.x[a] + (A == 2 || row < step.last ? row : step.last);  // pairs of tiles are whole
    const std::size_t at = ((a * 2 + p) * tile_rows + row) * lanes;
    const Float factor = I::mul(d[p], I::floats(x->d));
    Float acc = _mm512_maskz_load_ps(step.keep, step.sums + at);
    acc = I::fma(factor, I::to_floats(_mm512_load_si512(products + at)), acc);
    I::store(step.sums + at, acc);
  }
}

template <std::size_t A, std::size_t P>
[[gnu::always_inline]] inline void add_all(const FastStep& step, const std::int32_t* products) {
  const Float d[2] = {I::load(step.d[0]), I::load(step.d[1])};
  const auto all = [&]<std::size_t... piece>(std::index_sequence<piece...>) {
    (add_piece<A, P, piece>(step, products, d), ...);
  };
  all(std::make_index_sequence<A * P * 4>());
}

// The products of a step, and between them, since the processor can do both at a time, the sums of the one before.
template <std::size_t A, std::size_t P>
[[gnu::always_inline]] inline void run_step(const FastStep& step, const std::int8_t* const (&q)[2],
                                            std::int32_t* products, const FastStep& before,
                                            const std::int32_t* products_before) {
  const Float d[2] = {I::load(before.d[0]), I::load(before.d[1])};
  tile_zero<0>();
  if constexpr (P == 2) tile_zero<1>();
  if constexpr (A == 2) tile_zero<2>();
  if constexpr (A == 2 && P == 2) tile_zero<3>();
  const auto one = [&]<std::size_t s>() {
    tile_load<6>(q[0] + s * tile_bytes, tile_row_bytes);
    tile_load<4>(step.x[0]->q + s * tile_row_bytes, sizeof(SuperRow));
    if constexpr (P == 2) tile_load<7>(q[1] + s * tile_bytes, tile_row_bytes);
    if constexpr (A == 2) tile_load<5>(step.x[1]->q + s * tile_row_bytes, sizeof(SuperRow));
    constexpr std::size_t piece = s * A * P;
    tile_dot_signed<0, 4, 6>();
    add_piece<A, P, piece>(before, products_before, d);
    if constexpr (P == 2) {
      tile_dot_signed<1, 4, 7>();
      add_piece<A, P, piece + 1>(before, products_before, d);
    }
    if constexpr (A == 2) {
      tile_dot_signed<2, 5, 6>();
      add_piece<A, P, piece + P>(before, products_before, d);
    }
    if constexpr (A == 2 && P == 2) {
      tile_dot_signed<3, 5, 7>();
      add_piece<A, P, piece + 3>(before, products_before, d);
    }
  };
  one.template operator()<0>();
  one.template operator()<1>();
  one.template operator()<2>();
  one.template operator()<3>();
  constexpr std::size_t tile = tile_rows * lanes;
  tile_store<0>(products, tile_row_bytes);
  if constexpr (P == 2) tile_store<1>(products + tile, tile_row_bytes);
  if constexpr (A == 2) tile_store<2>(products + 2 * tile, tile_row_bytes);
  if constexpr (A == 2 && P == 2) tile_store<3>(products + 3 * tile, tile_row_bytes);
}

// Where a product stands: the steps with the panels that are unpacked.
struct FastWork {
  FastScratch* s;
  const FastPanel* panels;
  std::size_t blocks;    // of columns
  __mmask16 keep_first;  // of the first block
  Unpacking* next;
  std::size_t steps;
  std::size_t done = 0;

  void step() {
    ++done;
    next->advance(done, steps);
  }
};

// Tiles of activations [first, first + count · A) of a block of n rows.
template <std::size_t A, std::size_t P>
void multiply_fast(FastWork& work, const SuperRow* x, std::size_t n, std::size_t first, std::size_t count,
                   float* sums) {
  FastScratch& s = *work.s;
  const FastPanel* panels = work.panels;
  FastStep before{{x, x}, 0, {panels[0].d[0], panels[0].d[0]}, s.unused, 0};
  std::size_t parity = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t tile = first + i * A;
    for (std::size_t b = 0; b < work.blocks; ++b) {
      const SuperRow* block = x + b * n;
      const FastStep step{{block + first_row(tile, n), block + first_row(tile + A - 1, n)},
                          (n < tile_rows ? n : tile_rows) - 1,
                          {panels[0].d[b], panels[P - 1].d[b]},
                          sums + tile * pair_floats,
                          b == 0 ? work.keep_first : keep(false)};
      const std::int8_t* const q[2] = {panels[0].q[b][0], panels[P - 1].q[b][0]};
      run_step<A, P>(step, q, s.products[parity], before, s.products[1 - parity]);
      before = step;
      parity = 1 - parity;
      work.step();
    }
  }
  add_all<A, P>(before, s.products[1 - parity]);
}

template <std::size_t P>
void multiply_fast(FastWork& work, const SuperRow* x, std::size_t n, float* sums) {
  const std::size_t tiles = tiles_of(n);
  if (tiles > 1) multiply_fast<2, P>(work, x, n, 0, tiles / 2, sums);
  if (tiles % 2 == 1) multiply_fast<1, P>(work, x, n, tiles - 1, 1, sums);
}

template <typename Format>
void product_fast(const WeightRows& w, const SuperRow* x, std::size_t n, const Output& out, std::byte* scratch) {
  auto& s = *reinterpret_cast<FastScratch*>(scratch);
  const std::size_t all_blocks = w.cols / 256;
  const auto blocks_from = [&](std::size_t from) {
    return all_blocks - from < chunk_blocks ? all_blocks - from : chunk_blocks;
  };
  std::size_t pairs = 0;  // of tiles of activations, or single ones
  for (std::size_t a = 0; a < n; a += block_rows) pairs += (tiles_of(n - a < block_rows ? n - a : block_rows) + 1) / 2;

  // Pairs of panels in the order of their work: for some columns all rows, which share the activations' bytes.
  const auto after = [&](std::size_t& from, std::size_t& row) {
    row += 2 * lanes;
    if (row < w.rows) return;
    row = 0;
    from += chunk_blocks;
  };
  std::size_t buffer = 0;
  const auto start = [&](std::size_t from, std::size_t row) {
    std::size_t next_from = from;
    std::size_t next_row = row;
    after(next_from, next_row);
    if (next_from >= all_blocks) next_row = w.rows;
    const std::size_t panels = w.rows - row > lanes ? 2 : 1;
    const std::size_t blocks = blocks_from(from);
    return Unpacking{&w,
                     from,
                     blocks,
                     row,
                     panels,
                     next_from,
                     next_row,
                     s.panels[buffer],
                     &s.factors,
                     unpack_part<Format>,
                     panels * blocks * (1 + column_parts<Format>)};
  };

  Tiles tiles;
  Unpacking present = start(0, 0);
  present.finish();
  for (;;) {
    std::size_t next_from = present.from;
    std::size_t next_row = present.row;
    after(next_from, next_row);
    const bool last = next_from >= all_blocks;
    buffer = 1 - buffer;
    Unpacking next = last ? present : start(next_from, next_row);
    FastWork work{&s, present.to, present.blocks, keep(present.from == 0), &next, pairs * present.blocks};
    // Activations lie in blocks of block_rows, each with all its columns.
    float* sums = s.sums[present.row / (2 * lanes)][0];
    for (std::size_t a = 0; a < n; a += block_rows) {
      const std::size_t rows = n - a < block_rows ? n - a : block_rows;
      const SuperRow* block = x + a * all_blocks + present.from * rows;
      tiles.set_rows(rows < tile_rows ? rows : tile_rows);
      if (present.panels == 2) {
        multiply_fast<2>(work, block, rows, sums);
      } else {
        multiply_fast<1>(work, block, rows, sums);
      }
      sums += tiles_of(rows) * pair_floats;
    }
    if (last) break;
    present = next;
  }
  for (std::size_t r = 0; r < w.rows; r += lanes) {
    const float* sums = s.sums[r / (2 * lanes)][0] + r / lanes % 2 * tile_rows * lanes;
    for (std::size_t a = 0; a < n; a += block_rows) {
      const std::size_t rows = n - a < block_rows ? n - a : block_rows;
      put(sums, pair_floats, rows, w, r, {out.y + a * out.stride, out.stride, out.add});
      sums += tiles_of(rows) * pair_floats;
    }
  }
}

FastProduct* fast_product(quant::Type type) {
  switch (type) {
    case quant::Type::Q2_K:
      return product_fast<Formats::Q2_K>;
    case quant::Type::Q3_K:
      return product_fast<Formats::Q3_K>;
    case quant::Type::Q4_K:
      return product_fast<Formats::Q4_K>;
    case quant::Type::Q5_K:
      return product_fast<Formats::Q5_K>;
    case quant::Type::Q6_K:
      return product_fast<Formats::Q6_K>;
    case quant::Type::IQ4_XS:
      return product_fast<Formats::IQ4_XS>;
    default:
      return nullptr;
  }
}

}  // namespace

const Kernels& amx_kernels() {
  static const Kernels kernels = [] {
    Kernels k = avx512_kernels();
    k.name = "AMX (int8)";
    k.attend_prompt = amx_attend_prompt;
    k.prompt_scratch = amx_prompt_scratch;
    k.fast_product = fast_product;
    k.product_q2_k = product_exact<Formats::Q2_K, &Kernels::product_q2_k>;
    k.product_q3_k = product_exact<Formats::Q3_K, &Kernels::product_q3_k>;
    k.product_q4_k = product_exact<Formats::Q4_K, &Kernels::product_q4_k>;
    k.product_q5_k = product_exact<Formats::Q5_K, &Kernels::product_q5_k>;
    k.product_q6_k = product_exact<Formats::Q6_K, &Kernels::product_q6_k>;
    k.product_iq4_xs = product_exact<Formats::IQ4_XS, &Kernels::product_iq4_xs>;
    return k;
  }();
  return kernels;
}

}  // namespace compute::cpu
