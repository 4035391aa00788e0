// Fast products on AMX tiles, y[a][r] = Σ_i w[r][i] x[a][i], with weights as amx_fast_weights.h rounds them. S, the sum
// over 512 columns, is exact in int32; then acc = fma(d · dx, float(S), acc), groups in ascending order, from acc = 0.
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
  FastPanel panels[2][2];  // what is multiplied, and what is unpacked meanwhile; of each panel
  FastFactors factors;     // of the panel that is being unpacked
  TiledSums sums;
  float unused[2 * pair_floats];
  std::int32_t products[2 * pair_floats];
};
static_assert(sizeof(FastScratch) <= tiled_scratch_bytes);

// One step: a group of columns of one or two tiles of activations and two panels.
struct FastStep {
  const FastTile* x;
  const FastPanel* panels;
  float* sums;
  __mmask16 keep;  // none, if sums begin with it, or all
};

// Vectors of sums of two panels and a tile of activations.
constexpr std::size_t pair_vectors = 2 * tile_rows;

// Adds vectors `first` to `last` of a step's products to the sums.
template <std::size_t first, std::size_t last>
[[gnu::always_inline]] inline void add_vectors(const FastStep& step, const std::int32_t* products,
                                               const Float (&d)[2]) {
#pragma GCC unroll 64
  for (std::size_t v = first; v < last; ++v) {
    const std::size_t row = v / 2;
    const Float factor = I::mul(d[v % 2], I::floats(step.x[row / tile_rows].d[row % tile_rows]));
    Float acc = _mm512_maskz_load_ps(step.keep, step.sums + v * lanes);
    acc = I::fma(factor, I::to_floats(_mm512_load_si512(products + v * lanes)), acc);
    I::store(step.sums + v * lanes, acc);
  }
}

// Stores tile c of sums, of a step's pair of panel and tile of activations.
template <std::size_t c>
[[gnu::always_inline]] inline void store_sums(std::int32_t* products) {
  tile_store<c>(products + c / 2 * pair_floats + c % 2 * lanes, 2 * tile_row_bytes);
}

// Ends a step: stores the sums that it has left in tiles, and adds them to the others.
template <std::size_t A>
void finish_step(const FastStep& step, std::int32_t* products) {
  store_sums<0>(products);
  store_sums<1>(products);
  if constexpr (A == 2) store_sums<2>(products);
  if constexpr (A == 2) store_sums<3>(products);
  const Float d[2] = {I::load(step.panels[0].d), I::load(step.panels[1].d)};
  add_vectors<0, A * pair_vectors>(step, products, d);
}

// The products of a step of A tiles of activations. Between them, since the processor can do both at a time, those of
// the step before are added to their sums. They are left in the tiles, which the next step stores just before it needs
// them: while a store waits for a product the processor does no more of them.
template <std::size_t A>
[[gnu::always_inline]] inline void run_step(const FastStep& step, std::int32_t* products, const FastStep& before) {
  const Float d[2] = {I::load(before.panels[0].d), I::load(before.panels[1].d)};
  const auto one = [&]<std::size_t s>(auto meanwhile) __attribute__((always_inline)) {
    tile_load<6>(step.panels[0].q[s], tile_row_bytes);
    tile_load_once<4>(step.x[0].q[s], tile_row_bytes);
    tile_load<7>(step.panels[1].q[s], tile_row_bytes);
    if constexpr (A == 2) tile_load_once<5>(step.x[1].q[s], tile_row_bytes);
    meanwhile.template operator()<0>();
    tile_dot_signed<0, 4, 6>();
    meanwhile.template operator()<1>();
    tile_dot_signed<1, 4, 7>();
    if constexpr (A == 2) {
      meanwhile.template operator()<2>();
      tile_dot_signed<2, 5, 6>();
      meanwhile.template operator()<3>();
      tile_dot_signed<3, 5, 7>();
    }
  };
  one.template operator()<0>([&]<std::size_t c>() __attribute__((always_inline)) {
    store_sums<c>(products);
    tile_zero<c>();
  });
  const auto further = [&]<std::size_t s>() __attribute__((always_inline)) {
    one.template operator()<s>([&]<std::size_t i>() __attribute__((always_inline)) {
      constexpr std::size_t done = (s - 1) * 2 * A + i;
      constexpr std::size_t all = (group_blocks * steps - 1) * 2 * A;
      constexpr std::size_t vectors = A * pair_vectors;
      add_vectors<vectors * done / all, vectors*(done + 1) / all>(before, products, d);
    });
  };
  const auto all = [&]<std::size_t... s>(std::index_sequence<s...>) { (further.template operator()<s + 1>(), ...); };
  all(std::make_index_sequence<group_blocks * steps - 1>());
}

// Two panels and a group of columns, and the weights that are unpacked between its steps.
struct FastWork {
  FastScratch* s;
  const FastPanel* panels;
  __mmask16 keep;
  Unpacking* next;
  std::size_t steps;
  std::size_t done = 0;
};

// `count` times A tiles of activations from x on.
template <std::size_t A>
void multiply_fast(FastWork& work, const FastTile* x, std::size_t count, float* sums) {
  FastScratch& s = *work.s;
  FastStep before{x, work.panels, s.unused, 0};
  for (std::size_t i = 0; i < count; ++i) {
    const FastStep step{x + i * A, work.panels, sums + i * A * pair_floats, work.keep};
    run_step<A>(step, s.products, before);
    before = step;
    work.next->advance(++work.done, work.steps);
  }
  finish_step<A>(before, s.products);
}

template <typename Format>
void product_fast(const WeightRows& w, const FastTile* x, std::size_t n, const Output& out, std::byte* scratch) {
  auto& s = *reinterpret_cast<FastScratch*>(scratch);
  const std::size_t groups = (w.cols + fast_columns - 1) / fast_columns;
  const std::size_t tiles = tiles_of(n);
  std::size_t buffer = 0;
  // Pairs of panels in the order of their work: for each group of columns all rows, which share the activations' bytes.
  const auto start = [&](std::size_t group, std::size_t row) {
    const bool last_rows = row + 2 * lanes >= w.rows;
    const std::size_t next_group = last_rows ? group + 1 : group;
    const std::size_t next_row = next_group == groups ? w.rows : last_rows ? 0 : row + 2 * lanes;
    return Unpacking{&w,
                     group,
                     row,
                     next_group,
                     next_row,
                     s.panels[buffer],
                     &s.factors,
                     unpack_part<Format>,
                     2 * panel_parts<Format>};
  };

  const Tiles use;
  Unpacking present = start(0, 0);
  present.finish();
  for (;;) {
    const bool last = present.next_group == groups;
    buffer = 1 - buffer;
    Unpacking next = last ? present : start(present.next_group, present.next_row);
    float* sums = s.sums[present.row / (2 * lanes)][0];
    const FastTile* group = x + present.group * tiles;
    FastWork work{&s, present.to, keep(present.group == 0), &next, (tiles + 1) / 2};
    if (tiles > 1) multiply_fast<2>(work, group, tiles / 2, sums);
    if (tiles % 2 == 1) multiply_fast<1>(work, group + tiles - 1, 1, sums + (tiles - 1) * pair_floats);
    if (last) break;
    present = next;
  }
  put_all(s.sums, n, w, out);
}

}  // namespace
}  // namespace compute::cpu
