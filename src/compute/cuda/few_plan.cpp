#include "compute/cuda/few_plan.h"

#include <algorithm>

namespace compute::cuda::few {
namespace {

constexpr std::size_t staged_bytes = 72 * 1024;        // of activations at once, at most
constexpr std::size_t wide_shared_bytes = 200 * 1024;  // for blocks of 16 warps

// `row_tiles`: of all products together; `streams`: of tiles in a block; `ring`: bytes of its ring.
FewPlan plan(std::size_t cols, std::size_t rows, std::size_t row_tiles, unsigned warps, unsigned slots,
             unsigned streams, std::size_t ring, const Limits& limits) {
  const auto tiles = static_cast<unsigned>((cols + tile_cols - 1) / tile_cols);
  const std::size_t tile_staged = staged_tile_bytes(rows);
  const std::size_t partials = partial_bytes(streams, warps, rows);
  const std::size_t fit = std::min(staged_bytes, limits.shared_bytes - ring - partials) / tile_staged;
  const std::size_t together = std::size_t{unit_tiles} * warps;
  FewPlan result{};
  result.shape.tiles = tiles;
  result.shape.staged_tiles = tiles <= fit ? tiles : static_cast<unsigned>(fit / together * together);
  result.shape.ring_offset = static_cast<unsigned>(round_up(result.shape.staged_tiles * tile_staged + partials, 16));
  result.warps = warps;
  result.slots = slots;
  // Half of each multiprocessor is left to the kernel that comes after.
  const std::size_t resident = limits.multiprocessors * 16 / warps;
  result.block_row_tiles = static_cast<unsigned>((row_tiles + resident - 1) / resident);
  result.shared_bytes = result.shape.ring_offset + ring;
  return result;
}

}  // namespace

FewPlan plan_products(std::span<const OutputProduct> products, std::size_t rows, bool halves, const Limits& limits) {
  const std::size_t cols = products[0].weight.cols;
  std::size_t row_tiles = 0;
  for (const OutputProduct& product : products) row_tiles += row_tiles_of(product.weight);
  // Long rows of few matrices: more warps to a row, or too few bytes would be on their way.
  const bool wide = halves && cols >= 64 * tile_cols && row_tiles < 2 * limits.multiprocessors &&
                    limits.shared_bytes >= wide_shared_bytes;
  const unsigned warps = wide ? wide_warps : norm_warps;
  // A row of tiles to each block, and no more than four tiles of it to each warp: one unit, which needs no second slot.
  // Of F16, whose units are single tiles, up to four follow one another through the slot.
  const bool brief = !wide && row_tiles <= 2 * limits.multiprocessors && cols <= warps * unit_tiles * tile_cols;
  const unsigned slots = brief ? 1 : long_slots;
  std::size_t ring = 0;
  for (const OutputProduct& product : products) {
    ring = std::max(ring, ring_bytes(warps, slots, product.weight.format));
  }
  return plan(cols, rows, row_tiles, warps, slots, 1, ring, limits);
}

FewPlan plan_swiglu(const PackedMatrix& gate, const PackedMatrix& up, std::size_t rows, const Limits& limits) {
  return plan(gate.cols, rows, gate.padded_rows() / tile_rows, norm_warps, long_slots, 2,
              ring_bytes(norm_warps, long_slots, gate.format, up.format), limits);
}

}  // namespace compute::cuda::few
