#include "compute/cpu/activations.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "base/error.h"

namespace compute::cpu {
namespace {

std::size_t tiles_of(std::size_t rows) { return (rows + FastTile::rows - 1) / FastTile::rows; }

}  // namespace

CpuActivations::CpuActivations(std::size_t max_rows, std::size_t max_cols)
    : max_rows_(max_rows), max_cols_(max_cols), values_(max_rows * max_cols) {}

void CpuActivations::reset(std::size_t rows, std::size_t cols) {
  if (rows > max_rows_ || cols > max_cols_) {
    throw base::Error(base::ErrorKind::Internal, "activations",
                      std::to_string(rows) + " rows of " + std::to_string(cols) + " do not fit in " +
                          std::to_string(max_rows_) + " of " + std::to_string(max_cols_));
  }
  rows_ = rows;
  cols_ = cols;
  std::fill(std::begin(made_), std::end(made_), false);
}

std::size_t CpuActivations::rows_in(std::size_t block) const {
  return std::min(block_rows, rows_ - block * block_rows);
}

std::size_t CpuActivations::tiled_rows_in(std::size_t block) const {
  return std::min(tiled_rows, rows_ - block * tiled_rows);
}

void CpuActivations::quantise_row(Form form, const Kernels& kernels, std::size_t row) {
  if (form == Form::Exact || form == Form::Fast) {
    const std::size_t block = row / tiled_rows;
    const std::size_t tile = row % tiled_rows / FastTile::rows;
    const std::size_t stride = tiles_of(tiled_rows_in(block));
    if (form == Form::Exact) {
      ExactTile* tiles = exact_.data() + first_tile(block, exact_groups(cols_));
      return kernels.quantise_exact(values(row), cols_, tiles + tile, stride, row % ExactTile::rows);
    }
    FastTile* tiles = fast_.data() + first_tile(block, fast_groups(cols_));
    return kernels.quantise_fast(values(row), cols_, tiles + tile, stride, row % FastTile::rows);
  }
  const std::size_t block = row / block_rows;
  const std::size_t first = block * block_rows;
  const std::size_t stride = rows_in(block);
  if (form == Form::Super) {
    kernels.quantise_super(values(row), cols_, super_.data() + first * (cols_ / 256) + (row - first), stride);
  } else {
    kernels.quantise_small(values(row), cols_, small_.data() + first * (cols_ / 32) + (row - first), stride);
  }
}

void CpuActivations::make(Form form, const Kernels& kernels, base::ThreadPool& pool) {
  if (form == Form::Floats) return;
  bool& made = made_[static_cast<std::size_t>(form)];
  if (made) return;
  if (form == Form::Super && super_.size() == 0) super_ = base::AlignedBuffer<SuperRow>(max_rows_ * (max_cols_ / 256));
  if (form == Form::Small && small_.size() == 0) small_ = base::AlignedBuffer<SmallRow>(max_rows_ * (max_cols_ / 32));
  if (form == Form::Exact && exact_.size() == 0)
    exact_ = base::AlignedBuffer<ExactTile>(tiles_of(max_rows_) * exact_groups(max_cols_));
  if (form == Form::Fast && fast_.size() == 0)
    fast_ = base::AlignedBuffer<FastTile>(tiles_of(max_rows_) * fast_groups(max_cols_));
  pool.run(static_cast<int>(rows_), [&](int row, int) { quantise_row(form, kernels, static_cast<std::size_t>(row)); });
  made = true;
}

}  // namespace compute::cpu
