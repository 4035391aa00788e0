// Activation rows in a CPU device: floats, and the int8 forms made from them on demand.
#pragma once

#include <cstddef>

#include "base/memory.h"
#include "base/thread_pool.h"
#include "compute/compute.h"
#include "compute/cpu/kernels.h"
#include "compute/cpu/product_table.h"

namespace compute::cpu {

class CpuActivations : public Activations {
 public:
  CpuActivations(std::size_t max_rows, std::size_t max_cols);

  std::size_t rows() const override { return rows_; }
  std::size_t cols() const override { return cols_; }

  // Sets the shape for new content, which the caller then writes to values(); forms made before are void.
  void reset(std::size_t rows, std::size_t cols);
  // [rows][cols], without gaps.
  float* values() { return values_.data(); }
  const float* values(std::size_t row) const { return values_.data() + row * cols_; }

  // Makes a form, unless it is there already.
  void make(Form form, const Kernels& kernels, base::ThreadPool& pool);

  // Products take rows in blocks of block_rows (the last may have fewer). Within a block the quantised groups are
  // ordered [group][row], so that a product goes through them in the order of addresses.
  std::size_t blocks() const { return (rows_ + block_rows - 1) / block_rows; }
  std::size_t rows_in(std::size_t block) const;
  const SuperRow* super(std::size_t block) const { return super_.data() + block * block_rows * (cols_ / 256); }
  const SmallRow* small(std::size_t block) const { return small_.data() + block * block_rows * (cols_ / 32); }

  // Products on tiles take them in blocks of tiled_rows, in which the tiles are ordered [group][tile].
  std::size_t tiled_blocks() const { return (rows_ + tiled_rows - 1) / tiled_rows; }
  std::size_t tiled_rows_in(std::size_t block) const;
  const ExactTile* exact(std::size_t block) const { return exact_.data() + first_tile(block, exact_groups(cols_)); }
  const FastTile* fast(std::size_t block) const { return fast_.data() + first_tile(block, fast_groups(cols_)); }

 private:
  static std::size_t exact_groups(std::size_t cols) { return cols / 256; }
  static std::size_t fast_groups(std::size_t cols) { return (cols + fast_columns - 1) / fast_columns; }
  static std::size_t first_tile(std::size_t block, std::size_t groups) {
    return block * (tiled_rows / FastTile::rows) * groups;
  }
  void quantise_row(Form form, const Kernels& kernels, std::size_t row);

  std::size_t max_rows_;
  std::size_t max_cols_;
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  base::AlignedBuffer<float> values_;
  base::AlignedBuffer<SuperRow> super_;  // allocated when first needed
  base::AlignedBuffer<SmallRow> small_;
  base::AlignedBuffer<ExactTile> exact_;
  base::AlignedBuffer<FastTile> fast_;
  bool made_[forms] = {};
};

}  // namespace compute::cpu
