// Exact products on AMX tiles, y[a][r] = Σ_i w[r][i] x[a][i]: those with the high and those with the low bytes of
// weights apart, 256 · high + low of a block in int32, then docs/numerics.md's float chain. The products of mins with
// sums of activations are BF16's: both are whole numbers, the sums in two parts of eight bits, and all that is added up
// stays below 2²⁴, so that binary32 has it exactly.
//
// A step is a tile of activations, two panels and a block of 256 columns: 4 products of tiles for each panel and byte,
// one for the mins. While the processor does them, the sums of the step before are added up.
//
// Everything is in an anonymous namespace and calls no library function: each file that includes it gets its own copy.
#pragma once

#include "compute/cpu/amx_exact_weights.h"
#include "compute/cpu/amx_panels.h"

namespace compute::cpu {
namespace {

// What the tiles of sums had, of each panel.
struct alignas(64) ExactProducts {
  std::int32_t high[2][tile_rows * lanes];
  std::int32_t low[2][tile_rows * lanes];
  float mins[2][tile_rows * lanes];
};

struct ExactScratch {
  ExactPanel panels[2];
  ExactFactors factors[2][2];  // of the present panels and those before
  TiledSums sums;
  float unused[pair_floats];
  ExactProducts products;
};
static_assert(sizeof(ExactScratch) <= tiled_scratch_bytes);

struct ExactStep {
  const ExactTile* x;
  const ExactPanel* panels;
  const ExactFactors* factors;  // of the panels
  float* sums;                  // [row][panel][lane]
  __mmask16 keep;               // none, if sums begin with it, or all
};

// Vectors of sums of a step.
constexpr std::size_t exact_vectors = 2 * tile_rows;

// Adds vectors `first` to `last` of a step's products to the sums.
template <typename Format, std::size_t first, std::size_t last>
[[gnu::always_inline]] inline void add_vectors(const ExactStep& step, const ExactProducts& products,
                                               const ExactFactors (&factors)[2]) {
#pragma GCC unroll 32
  for (std::size_t v = first; v < last; ++v) {
    const std::size_t row = v / 2;
    const std::size_t p = v % 2;
    const std::size_t at = row * lanes;
    float* sum = step.sums + v * lanes;
    const Float dx = I::floats(step.x->d[row]);
    const Int high = I::left(_mm512_load_si512(products.high[p] + at), 8);
    const Int total = _mm512_add_epi32(high, _mm512_load_si512(products.low[p] + at));
    Float acc = _mm512_maskz_load_ps(step.keep, sum);
    acc = I::fma(I::mul(factors[p].d, dx), I::to_floats(total), acc);
    if constexpr (Format::has_mins) acc = I::fnma(I::mul(factors[p].dmin, dx), I::load(products.mins[p] + at), acc);
    I::store(sum, acc);
  }
}

// Stores tile c of sums, of which a panel's high bytes have number 2 · panel and its low ones the next. A step leaves
// mins in the first two.
template <typename Format, int c>
[[gnu::always_inline]] inline void store_last(ExactProducts& products) {
  if constexpr (Format::has_mins && c < 2) {
    tile_store<c>(products.mins[c], tile_row_bytes);
  } else {
    tile_store<c>(c % 2 == 0 ? products.high[c / 2] : products.low[c / 2], tile_row_bytes);
  }
}

// Ends a step: stores what it has left in tiles, and adds its products to the sums.
template <typename Format>
void finish_step(const ExactStep& step, ExactProducts& products) {
  store_last<Format, 0>(products);
  store_last<Format, 1>(products);
  store_last<Format, 2>(products);
  store_last<Format, 3>(products);
  add_vectors<Format, 0, exact_vectors>(step, products, {step.factors[0], step.factors[1]});
}

// The products of a step; between them the sums of the one before. A tile of sums is stored only just before it is
// needed for the next ones, three products or more after its own last: while a store waits for a product, the processor
// does no more of them.
template <typename Format>
[[gnu::always_inline]] inline void run_step(const ExactStep& step, ExactProducts& products, const ExactStep& before) {
  const ExactFactors factors[2] = {before.factors[0], before.factors[1]};
  const auto load_x = [&]<std::size_t s>() __attribute__((always_inline)) {
    tile_load_once<4>(step.x->q[s], tile_row_bytes);
  };
  // 64 columns of one panel; meanwhile<i>() comes before product i of both.
  const auto multiply = [&]<std::size_t s, int p>(auto meanwhile) __attribute__((always_inline)) {
    tile_load<6>(step.panels[p].high[s], tile_row_bytes);
    tile_load<7>(step.panels[p].low[s], tile_row_bytes);
    meanwhile.template operator()<2 * p>();
    tile_dot_signed<2 * p, 4, 6>();
    meanwhile.template operator()<2 * p + 1>();
    tile_dot_unsigned<2 * p + 1, 4, 7>();
  };

  const auto begin = [&]<int c>() __attribute__((always_inline)) {
    store_last<Format, c>(products);
    tile_zero<c>();
  };
  // The tiles of sums in the order in which they were used last.
  constexpr int first = Format::has_mins ? 1 : 0;
  load_x.template operator()<0>();
  multiply.template operator()<0, first>(begin);
  multiply.template operator()<0, 1 - first>(begin);

  const auto further = [&]<std::size_t s>() __attribute__((always_inline)) {
    const auto add = [&]<std::size_t i>() __attribute__((always_inline)) {
      constexpr std::size_t done = (s - 1) * 4 + i;
      constexpr std::size_t all = (steps - 1) * 4;
      add_vectors<Format, exact_vectors * done / all, exact_vectors*(done + 1) / all>(before, products, factors);
    };
    load_x.template operator()<s>();
    multiply.template operator()<s, 0>(add);
    multiply.template operator()<s, 1>(add);
  };
  further.template operator()<1>();
  further.template operator()<2>();
  further.template operator()<3>();

  if constexpr (Format::has_mins) {
    tile_load_once<4>(step.x->sums, tile_row_bytes);
    tile_load<6>(step.panels[0].mins, tile_row_bytes);
    tile_load<7>(step.panels[1].mins, tile_row_bytes);
    tile_store<0>(products.high[0], tile_row_bytes);
    tile_zero<0>();
    tile_dot_bf16<0, 4, 6>();
    tile_store<1>(products.low[0], tile_row_bytes);
    tile_zero<1>();
    tile_dot_bf16<1, 4, 7>();
  }
}

// Asks memory for a block of each weight row from `first` to `last`.
template <typename Format>
void ask_for_block(const WeightRows& w, std::size_t first, std::size_t last, std::size_t block) {
  for (std::size_t r = first; r < last && r < w.rows; ++r) {
    const std::uint8_t* p = w.data + r * w.row_bytes + block * Format::block_bytes;
    for (std::size_t at = 0; at < Format::block_bytes; at += 64) __builtin_prefetch(p + at, 0, 2);
  }
}

template <typename Format>
void product_exact(const WeightRows& w, const ExactTile* x, std::size_t n, const Output& out, std::byte* scratch) {
  auto& s = *reinterpret_cast<ExactScratch*>(scratch);
  const std::size_t tiles = tiles_of(n);
  const Tiles use;
  // What the first step finds as the one before it.
  ExactStep before{x, s.panels, s.factors[1], s.unused, 0};
  std::size_t parity = 0;
  // For each block of columns all rows, which share the activations' bytes.
  for (std::size_t b = 0; b < w.cols / 256; ++b, x += tiles) {
    for (std::size_t r = 0; r < w.rows; r += 2 * lanes, parity = 1 - parity) {
      ExactFactors* factors = s.factors[parity];
      for (std::size_t p = 0; p < 2; ++p) {
        with_rows<lanes, Format::block_bytes>(w, r + p * lanes, b, [&](const std::uint8_t* bytes, std::size_t stride) {
          unpack_exact<Format>(bytes, stride, s.panels[p], factors[p]);
        });
      }
      if (r + 2 * lanes < w.rows) {
        ask_for_block<Format>(w, r + 2 * lanes, r + 4 * lanes, b);
      } else if (b + 1 < w.cols / 256) {
        ask_for_block<Format>(w, 0, 2 * lanes, b + 1);
      }
      for (std::size_t tile = 0; tile < tiles; ++tile) {
        const ExactStep step{x + tile, s.panels, factors, s.sums[r / (2 * lanes)][tile], keep(b == 0)};
        run_step<Format>(step, s.products, before);
        before = step;
      }
    }
  }
  finish_step<Format>(before, s.products);
  put_all(s.sums, n, w, out);
}

}  // namespace
}  // namespace compute::cpu
