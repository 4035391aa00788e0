// How products of few rows are cut: whatever their shapes, what a block needs has room in its shared memory, and the
// blocks have all rows of tiles between them.
#include "compute/cuda/few_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace compute::cuda::few {
namespace {

using Random = std::mt19937;

// GPUs of compute capability 8.0 and 9.0: 163 and 227 KiB for a block, of which the system takes one.
constexpr Limits gpus[] = {{162 * 1024, 108}, {226 * 1024, 132}};
static_assert(least_shared_bytes <= gpus[0].shared_bytes);

Format random_format(Random& random) {
  constexpr Format formats[] = {Format::Q4, Format::Q6, Format::F16};
  return formats[random() % 3];
}

// Activations of the tiles staged at once, as fragments, 128 bytes to a row and tile, and two sums of 32 columns each,
// of which there is room for one row's or for eight.
std::size_t staged_bytes(const FewPlan& plan, std::size_t rows) {
  return plan.shape.staged_tiles * (128 * rows + 2 * sizeof(float) * (rows == 1 ? 1 : few_rows));
}

// Of a block that multiplies so many matrices at once, whose tiles of one place have `bytes` together, `unit` of them
// copied together.
void check_memory(const FewPlan& plan, std::size_t rows, std::size_t matrices, std::size_t unit, std::size_t bytes,
                  const Limits& gpu) {
  const std::size_t partials = 2 * matrices * plan.warps * rows * tile_rows * sizeof(float);
  EXPECT_EQ(plan.shape.ring_offset % 16, 0);
  EXPECT_LE(staged_bytes(plan, rows) + partials, plan.shape.ring_offset);
  EXPECT_LE(plan.shape.ring_offset + plan.warps * plan.slots * unit * bytes, plan.shared_bytes);
  EXPECT_LE(plan.shared_bytes, gpu.shared_bytes);
}

// Activations are staged anew only where all warps have multiplied a unit of what was staged before.
void check_staging(const FewPlan& plan, std::size_t cols, bool at_once) {
  EXPECT_EQ(plan.shape.tiles, round_up(cols, tile_cols) / tile_cols);
  if (plan.shape.staged_tiles == plan.shape.tiles) return;
  EXPECT_FALSE(at_once);
  EXPECT_GT(plan.shape.staged_tiles, 0);
  EXPECT_EQ(plan.shape.staged_tiles % (plan.warps * unit_tiles), 0);
}

TEST(FewPlan, ProductsHaveRoomAndAllRowsOfTiles) {
  Random random(1);
  std::vector<unsigned> kinds;
  for (int i = 0; i < 20000; ++i) {
    const Limits gpu = random() % 3 == 0 ? Limits{least_shared_bytes, 108} : gpus[random() % 2];
    const bool halves = random() % 2 == 0;
    const std::size_t rows = 1 + random() % few_rows;
    const std::size_t cols = 1 + random() % (halves ? 16384 : most_norm_cols);
    const unsigned most_rows = random() % 2 == 0 ? 3000 : 20000;
    std::vector<OutputProduct> products(1 + random() % 8);
    for (OutputProduct& product : products) {
      product.weight = {random_format(random), 1 + random() % most_rows, cols, nullptr};
    }
    const FewPlan plan = plan_products(products, rows, halves, gpu);
    SCOPED_TRACE(std::to_string(rows) + " rows of " + std::to_string(cols) + ", " + std::to_string(products.size()) +
                 " products, " + (halves ? "halves" : "norm"));
    check_staging(plan, cols, !halves);
    std::size_t blocks = 0;
    for (const OutputProduct& product : products) {
      const Format format = product.weight.format;
      check_memory(plan, rows, 1, format == Format::F16 ? 1 : 4, tile_bytes(format), gpu);
      blocks += round_up(row_tiles_of(product.weight), plan.block_row_tiles) / plan.block_row_tiles;
    }
    // All are resident at once, but for a last one, not full, of every product.
    EXPECT_LE(blocks, gpu.multiprocessors * 16 / plan.warps + products.size() - 1);
    EXPECT_TRUE(plan.warps == norm_warps || (halves && plan.warps == wide_warps)) << plan.warps;
    EXPECT_TRUE(plan.slots == long_slots || plan.block_row_tiles == 1) << plan.slots;
    if (HasFailure()) return;
    kinds.push_back(plan.warps * 10 + plan.slots);
  }
  // Each kind of kernel has occurred.
  for (const unsigned kind : {81, 82, 162}) EXPECT_NE(std::ranges::count(kinds, kind), 0) << kind;
}

void check_swiglu(const PackedMatrix& gate, const PackedMatrix& up, std::size_t rows, const Limits& gpu) {
  const std::size_t cols = gate.cols;
  const FewPlan plan = plan_swiglu(gate, up, rows, gpu);
  SCOPED_TRACE(std::to_string(rows) + " rows of " + std::to_string(cols));
  check_staging(plan, cols, true);
  const bool halves = gate.format == Format::F16 || up.format == Format::F16;
  check_memory(plan, rows, 2, halves ? 1 : 4, tile_bytes(gate.format) + tile_bytes(up.format), gpu);
  EXPECT_EQ(plan.warps, norm_warps);
  EXPECT_EQ(plan.slots, long_slots);
  // Padded rows are written too.
  const std::size_t row_tiles = gate.padded_rows() / tile_rows;
  EXPECT_LE(round_up(row_tiles, plan.block_row_tiles) / plan.block_row_tiles, gpu.multiprocessors * 2);
}

TEST(FewPlan, SwigluHasRoomAndAllRowsOfTiles) {
  Random random(2);
  for (int i = 0; i < 5000; ++i) {
    const Limits& gpu = gpus[random() % 2];
    const std::size_t rows = 1 + random() % few_rows;
    const std::size_t cols = 1 + random() % most_norm_cols;
    const std::size_t hidden = 1 + random() % 20000;
    check_swiglu({random_format(random), hidden, cols, nullptr}, {random_format(random), hidden, cols, nullptr}, rows,
                 gpu);
    if (HasFailure()) return;
  }
}

// The largest of all: as many rows and columns as there can be.
TEST(FewPlan, SwigluHasRoomInTheLeastMemory) {
  for (const Format gate : {Format::Q4, Format::Q6, Format::F16}) {
    for (const Format up : {Format::Q4, Format::Q6, Format::F16}) {
      check_swiglu({gate, 11008, most_norm_cols, nullptr}, {up, 11008, most_norm_cols, nullptr}, few_rows,
                   {least_shared_bytes, 108});
    }
  }
}

// The shapes of SmolLM3-3B on an H200: down's long rows take blocks of 16 warps, small products a block to each row of
// tiles, and the output head many rows of tiles to a block.
TEST(FewPlan, KnownShapes) {
  const auto plan = [](std::size_t rows, std::size_t cols, bool halves) {
    const OutputProduct product{{Format::Q4, rows, cols, nullptr}, nullptr, 0, false};
    return plan_products(std::span(&product, 1), 1, halves, gpus[1]);
  };
  EXPECT_EQ(plan(2048, 11008, true).warps, 16);
  EXPECT_EQ(plan(2048, 2048, true).warps, 8);
  EXPECT_EQ(plan(2048, 2048, true).slots, 1);
  const FewPlan head = plan(128256, 2048, false);
  EXPECT_EQ(head.slots, 2);
  EXPECT_EQ(head.block_row_tiles, 31);  // of 8,016, for two blocks on each of 132 multiprocessors
}

}  // namespace
}  // namespace compute::cuda::few
