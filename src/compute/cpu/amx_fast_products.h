// Fast products on AMX tiles, y[a][r] = Σ_i w[r][i] x[a][i], with weights as amx_fast_weights.h rounds them. S, the sum
// over 256 columns, is exact in int32; then acc = fma(d · dx, float(S), acc), blocks in ascending order, from acc = 0.
//
// A step is up to 2 × 2 tiles of sums, of two panels and two tiles of activations: 4 products of tiles for each. While
// the processor does them, the sums of the step before are added up and the next weights are unpacked.
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
  FastFactors factors;     // of the block that is being unpacked
  float sums[fast_weight_rows / (2 * lanes)][fast_rows / tile_rows + 2][pair_floats];
  float unused[2 * pair_floats];
  std::int32_t products[2][2 * pair_floats];
};
static_assert(sizeof(FastScratch) <= fast_scratch_bytes);

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

}  // namespace
}  // namespace compute::cpu
