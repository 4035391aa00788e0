#include "compute/cuda/many_plan.h"

#include <algorithm>

namespace compute::cuda::many {
namespace {

// Tiles of the result, each one block's or, where columns are cut, as many blocks' as there are splits.
unsigned count_tiles(const ManyParameters& p, unsigned rows, unsigned strips) {
  const unsigned block_rows = 2 * strips * strip_rows;
  unsigned tiles = 0;
  if (p.hidden != nullptr) {
    tiles = divide_up(p.matrices[0].rows, block_rows / 2);
  } else {
    for (unsigned i = 0; i < p.matrix_count; ++i) tiles += divide_up(p.matrices[i].rows, block_rows);
  }
  return tiles * divide_up(p.x_rows, rows);
}

// Of the ways to cut the work into tiles of so many rows of activations, the one that takes the fewest cycles: matrix
// units, bytes from L2 at 32 a cycle, or what a step costs at least; for partial sums a wait and 64 bytes a cycle.
ManyPlan best_of_tiles(const ManyParameters& p, unsigned rows, unsigned max_strips) {
  constexpr unsigned multiprocessors = 132;
  std::size_t bytes = 0;
  for (unsigned i = 0; i < p.matrix_count; ++i) bytes = std::max(bytes, tile_bytes(p.matrices[i].format));
  ManyPlan best;
  double best_cost = 0;
  for (unsigned strips = max_strips; strips >= 1; --strips) {
    const unsigned tiles = count_tiles(p, rows, strips);
    const double step = std::max(
        {4.0 * strips * rows, (rows * 128.0 + 8.0 * strips * static_cast<double>(bytes)) / 32, 250.0 + 120 * strips});
    for (unsigned splits = 1; can_split(p, {rows, strips, splits}); ++splits) {
      const double partial_bytes = 4.0 * splits * 2 * strips * strip_rows * std::min(rows, p.x_rows);
      const double reduction = splits == 1 ? 0 : 2000 + partial_bytes / 64;
      const double cost =
          divide_up(std::size_t{tiles} * splits, multiprocessors) * divide_up(p.steps, splits) * step + reduction;
      if (best_cost == 0 || cost < best_cost) {
        best_cost = cost;
        best = {rows, strips, splits};
      }
    }
  }
  return best;
}

}  // namespace

bool has_halves(const ManyParameters& p) {
  return std::any_of(p.matrices, p.matrices + p.matrix_count,
                     [](const ManyMatrix& matrix) { return matrix.format == Format::F16; });
}

ManyPlan best_plan(const ManyParameters& p, Instructions instructions) {
  if (instructions == Instructions::Warp) return best_of_tiles(p, 64, 1);
  return best_of_tiles(p, p.x_rows <= 32 ? 32 : p.x_rows <= 64 ? 64 : 128, has_halves(p) ? 1 : 2);
}

bool can_split(const ManyParameters& p, const ManyPlan& plan) {
  if (plan.splits == 0 || plan.splits > max_splits) return false;
  return plan.splits == 1 || (p.partial != nullptr && plan.splits <= p.steps &&
                              count_tiles(p, plan.rows, plan.strips) * plan.splits <= max_split_blocks);
}

bool can_cut(const ManyParameters& p, const ManyPlan& plan, Instructions instructions) {
  const bool has_kernel = instructions == Instructions::Warp
                              ? plan.rows == 64 && plan.strips == 1
                              : (plan.rows == 32 || plan.rows == 64 || plan.rows == 128) &&
                                    (plan.strips == 1 || (plan.strips == 2 && !has_halves(p)));
  return has_kernel && can_split(p, plan);
}

unsigned cut(ManyParameters& p, const ManyPlan& plan) {
  const unsigned block_rows = 2 * plan.strips * strip_rows;
  p.row_tiles = 0;
  if (p.hidden != nullptr) {
    p.row_tiles = divide_up(p.matrices[0].rows, block_rows / 2);
  } else {
    for (unsigned i = 0; i < p.matrix_count; ++i) {
      p.matrices[i].first_tile = p.row_tiles;
      p.row_tiles += divide_up(p.matrices[i].rows, block_rows);
    }
  }
  p.activation_tiles = divide_up(p.x_rows, plan.rows);
  p.splits = plan.splits;
  p.prefetch = p.activation_tiles == 1;
  return p.row_tiles * p.activation_tiles * p.splits;
}

}  // namespace compute::cuda::many
