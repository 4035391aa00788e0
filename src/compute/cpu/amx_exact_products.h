// Exact products on AMX tiles, y[a][r] = Σ_i w[r][i] x[a][i]: those with the high and those with the low bytes of
// weights apart, 256 · high + low of a block in int32, then docs/numerics.md's float chain.
//
// A step is two tiles of sums, high and low, for each of one or two pairs of panel and tile of activations: 4 products
// of tiles for each of the two bytes. While the processor does them, the sums of the step before are added up.
//
// Everything is in an anonymous namespace and calls no library function: each file that includes it gets its own copy.
#pragma once

#include <utility>

#include "compute/cpu/amx_exact_weights.h"
#include "compute/cpu/amx_panels.h"

namespace compute::cpu {
namespace {

constexpr std::size_t least_exact_rows = tile_rows;  // activation rows from which on exact products are faster on tiles

struct ExactScratch {
  ExactPanel panels[2];
  ExactFactors factors[2][2];  // of the present block and the one before, of each panel
  alignas(64) float sums[block_rows / tile_rows][2][tile_rows * lanes];
  alignas(64) float unused[2][2][tile_rows * lanes];
  alignas(64) std::int32_t products[2][4][tile_rows * lanes];
};

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
      with_rows<lanes, Format::block_bytes>(w, r + p * lanes, b, [&](const std::uint8_t* bytes, std::size_t stride) {
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
      with_rows<lanes, Format::block_bytes>(w, r + p * lanes, b, [&](const std::uint8_t* bytes, std::size_t stride) {
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

}  // namespace
}  // namespace compute::cpu
