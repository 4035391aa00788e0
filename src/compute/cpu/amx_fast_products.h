// Fast products on AMX tiles, y[a][r] = Σ_i w[r][i] x[a][i], with weights as amx_fast_weights.h rounds them. S, the sum
// over 256 columns, is exact in int32; then acc = fma(d · dx, float(S), acc), blocks in ascending order, from acc = 0.
//
// A step is 2 × 2 tiles of sums, of two panels and two tiles of activations (or the last one): 4 products of tiles for
// each. While the processor does them, the sums of the step before are added up and the next weights are unpacked.
//
// Everything is in an anonymous namespace and calls no library function: each file that includes it gets its own copy.
#pragma once

#include <utility>

#include "compute/cpu/amx_fast_weights.h"
#include "compute/cpu/amx_panels.h"

namespace compute::cpu {
namespace {

struct FastScratch {
  FastPanel panels[2][group_panels];  // what is multiplied, and what is unpacked meanwhile
  FastFactors factors;                // of the block that is being unpacked
  // Of each pair of panels and tile of activations: [panel][row][lane].
  float sums[fast_weight_rows / (2 * lanes)][fast_rows / tile_rows][pair_floats];
  float unused[2 * pair_floats];
  std::int32_t products[2 * pair_floats];
};
static_assert(sizeof(FastScratch) <= fast_scratch_bytes);

// One step: a block of 256 columns of one or two tiles of activations and two panels.
struct FastStep {
  const FastTile* x;
  const FastPanel* panels;
  float* sums;
  __mmask16 keep;  // none, if sums begin with it, or all
};

// Adds the products of four of a step's vectors to the sums.
template <std::size_t piece>
[[gnu::always_inline]] inline void add_piece(const FastStep& step, const std::int32_t* products, const Float (&d)[2]) {
#pragma GCC unroll 4
  for (std::size_t v = 4 * piece; v < 4 * piece + 4; ++v) {
    const std::size_t p = v % 2;
    const std::size_t row = v / 2 % tile_rows;
    const std::size_t tile = v / 2 / tile_rows;
    const std::size_t at = tile * pair_floats + (p * tile_rows + row) * lanes;
    const Float factor = I::mul(d[p], I::floats(step.x[tile].d[row]));
    Float acc = _mm512_maskz_load_ps(step.keep, step.sums + at);
    acc = I::fma(factor, I::to_floats(_mm512_load_si512(products + at)), acc);
    I::store(step.sums + at, acc);
  }
}

template <std::size_t A>
[[gnu::always_inline]] inline void add_all(const FastStep& step, const std::int32_t* products) {
  const Float d[2] = {I::load(step.panels[0].d), I::load(step.panels[1].d)};
  const auto all = [&]<std::size_t... piece>(std::index_sequence<piece...>) {
    (add_piece<piece>(step, products, d), ...);
  };
  all(std::make_index_sequence<A * 8>());
}

// The products of a step of A tiles of activations. Between them, since the processor can do both at a time, those of
// the step before are added to their sums.
template <std::size_t A>
[[gnu::always_inline]] inline void run_step(const FastStep& step, std::int32_t* products, const FastStep& before) {
  const Float d[2] = {I::load(before.panels[0].d), I::load(before.panels[1].d)};
  tile_zero<0>();
  tile_zero<1>();
  if constexpr (A == 2) tile_zero<2>();
  if constexpr (A == 2) tile_zero<3>();
  const auto one = [&]<std::size_t s>() {
    tile_load<6>(step.panels[0].q[s], tile_row_bytes);
    tile_load<4>(step.x[0].q[s], tile_row_bytes);
    tile_load<7>(step.panels[1].q[s], tile_row_bytes);
    if constexpr (A == 2) tile_load<5>(step.x[1].q[s], tile_row_bytes);
    constexpr std::size_t piece = s * A * 2;
    tile_dot_signed<0, 4, 6>();
    add_piece<piece>(before, products, d);
    tile_dot_signed<1, 4, 7>();
    add_piece<piece + 1>(before, products, d);
    if constexpr (A == 2) {
      tile_dot_signed<2, 5, 6>();
      add_piece<piece + 2>(before, products, d);
      tile_dot_signed<3, 5, 7>();
      add_piece<piece + 3>(before, products, d);
    }
  };
  one.template operator()<0>();
  one.template operator()<1>();
  one.template operator()<2>();
  one.template operator()<3>();
  constexpr std::size_t tile = tile_rows * lanes;
  tile_store<0>(products, tile_row_bytes);
  tile_store<1>(products + tile, tile_row_bytes);
  if constexpr (A == 2) tile_store<2>(products + 2 * tile, tile_row_bytes);
  if constexpr (A == 2) tile_store<3>(products + 3 * tile, tile_row_bytes);
}

// Some panels and a block of columns, and the weights that are unpacked between its steps.
struct FastWork {
  FastScratch* s;
  const FastPanel* panels;
  std::size_t pairs;  // of panels
  __mmask16 keep;
  Unpacking* next;
  std::size_t steps;
  std::size_t done = 0;
};

// `count` times A tiles of activations from x on, each with all panels in turn, so that the latter find it in the
// first-level cache.
template <std::size_t A>
void multiply_fast(FastWork& work, const FastTile* x, std::size_t count, float* sums) {
  FastScratch& s = *work.s;
  FastStep before{x, work.panels, s.unused, 0};
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t pair = 0; pair < work.pairs; ++pair) {
      const FastStep step{x + i * A, work.panels + 2 * pair,
                          sums + pair * (fast_rows / tile_rows * pair_floats) + i * A * pair_floats, work.keep};
      run_step<A>(step, s.products, before);
      before = step;
      work.next->advance(++work.done, work.steps);
    }
  }
  add_all<A>(before, s.products);
}

template <typename Format>
void product_fast(const WeightRows& w, const FastTile* x, std::size_t n, const Output& out, std::byte* scratch) {
  auto& s = *reinterpret_cast<FastScratch*>(scratch);
  const std::size_t blocks = w.cols / 256;
  const std::size_t tiles = tiles_of(n);
  std::size_t buffer = 0;
  // Groups of panels in the order of their work: for each block of columns all rows, which share the activations'
  // bytes.
  const auto start = [&](std::size_t block, std::size_t row) {
    const bool last_rows = row + group_panels * lanes >= w.rows;
    const std::size_t next_block = last_rows ? block + 1 : block;
    const std::size_t next_row = next_block == blocks ? w.rows : last_rows ? 0 : row + group_panels * lanes;
    const std::size_t panels = last_rows ? (w.rows - row + 2 * lanes - 1) / (2 * lanes) * 2 : group_panels;
    return Unpacking{&w,
                     block,
                     row,
                     panels,
                     next_block,
                     next_row,
                     s.panels[buffer],
                     &s.factors,
                     unpack_part<Format>,
                     panels * (1 + column_parts<Format>)};
  };

  const Tiles use;
  Unpacking present = start(0, 0);
  present.finish();
  for (;;) {
    const bool last = present.next_block == blocks;
    buffer = 1 - buffer;
    Unpacking next = last ? present : start(present.next_block, present.next_row);
    const std::size_t pairs = present.panels / 2;
    float* sums = s.sums[present.row / (2 * lanes)][0];
    const FastTile* block = x + present.block * tiles;
    FastWork work{&s, present.to, pairs, keep(present.block == 0), &next, (tiles + 1) / 2 * pairs};
    if (tiles > 1) multiply_fast<2>(work, block, tiles / 2, sums);
    if (tiles % 2 == 1) multiply_fast<1>(work, block + tiles - 1, 1, sums + (tiles - 1) * pair_floats);
    if (last) break;
    present = next;
  }
  for (std::size_t a = 0; a < n; ++a) {
    for (std::size_t r = 0; r < w.rows; r += lanes) {
      const float* tile = s.sums[r / (2 * lanes)][a / tile_rows];
      put_row(tile + (r / lanes % 2 * tile_rows + a % tile_rows) * lanes, w, r, out, a);
    }
  }
}

}  // namespace
}  // namespace compute::cpu
