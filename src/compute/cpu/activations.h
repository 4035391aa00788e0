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

  // Fast products take them in blocks of fast_rows, in which the tiles are ordered [group][tile].
  std::size_t fast_blocks() const { return (rows_ + fast_rows - 1) / fast_rows; }
  std::size_t fast_rows_in(std::size_t block) const;
  const FastTile* fast(std::size_t block) const {
    return fast_.data() + block * (fast_rows / FastTile::rows) * fast_groups(cols_);
  }

 private:
  static std::size_t fast_groups(std::size_t cols) { return (cols + fast_columns - 1) / fast_columns; }
  void quantise_row(Form form, const Kernels& kernels, std::size_t row);

  std::size_t max_rows_;
  std::size_t max_cols_;
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  base::AlignedBuffer<float> values_;
  base::AlignedBuffer<SuperRow> super_;  // allocated when first needed
  base::AlignedBuffer<SmallRow> small_;
  base::AlignedBuffer<FastTile> fast_;
  bool super_made_ = false;
  bool small_made_ = false;
  bool fast_made_ = false;
};

}  // namespace compute::cpu
