// How a product of many rows is cut into blocks of its kernel (multiply_many.cu), and which way is fastest. Plain
// arithmetic, to which pointers say no more than what there is.
#pragma once

#include <cstddef>

#include "compute/cuda/many_parameters.h"

namespace compute::cuda::many {

// What the workspace has room for where columns are cut: blocks, and the partial sums of each, 256 weight rows (two
// strips in each warpgroup) for 128 rows of activations.
inline constexpr unsigned max_split_blocks = 264;
inline constexpr unsigned max_partial_bytes = 2 * strip_rows * 2 * 128 * sizeof(float);
inline constexpr unsigned max_splits = 16;

constexpr unsigned divide_up(std::size_t value, std::size_t by) { return static_cast<unsigned>((value + by - 1) / by); }

// Whether a weight is F16, for which only one strip has room.
bool has_halves(const ManyParameters& p);

// The best plan by a model of an H200's cycles, made of constants alone, so that every run is cut alike.
ManyPlan best_plan(const ManyParameters& p, Instructions instructions);

// Whether the columns can be cut like this: at most max_splits, a step for each, and a workspace with room for the
// partial sums.
bool can_split(const ManyParameters& p, const ManyPlan& plan);

// Whether, besides, there is a kernel with such tiles for these weights.
bool can_cut(const ManyParameters& p, const ManyPlan& plan, Instructions instructions);

// Writes down in p how the plan cuts the work; returns the number of blocks.
unsigned cut(ManyParameters& p, const ManyPlan& plan);

}  // namespace compute::cuda::many
