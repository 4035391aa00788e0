// Activation rows in the GPU's memory: a norm that is yet to be made, floats, or halves, each made from another when a
// product needs it.
#pragma once

#include <cuda_fp16.h>

#include <cstddef>
#include <functional>
#include <optional>

#include "compute/compute.h"
#include "compute/cuda/memory.h"
#include "compute/cuda/products.h"

namespace compute::cuda {

class CudaActivations : public Activations {
 public:
  enum class Form { Floats, Halves };

  // `release` is called before memory is given back: what was asked for with it must have been done.
  CudaActivations(std::size_t max_rows, std::size_t max_cols, std::function<void()> release);
  ~CudaActivations() override { release_(); }

  std::size_t rows() const override { return rows_; }
  std::size_t cols() const override { return cols_; }

  // Sets the shape for new content; no form of it is there yet.
  void reset(std::size_t rows, std::size_t cols);

  // The content is the norm of rows elsewhere.
  void set_norm(const NormInput& norm) { norm_ = norm; }
  const std::optional<NormInput>& norm() const { return norm_; }

  // The content is what the steps so far write to this form; halves, now or when they are made, are floats / scale.
  void set_valid(Form form, float scale = 1);
  // It now has this form as well.
  void also_valid(Form form) { (form == Form::Floats ? floats_valid_ : halves_valid_) = true; }
  bool valid(Form form) const { return form == Form::Floats ? floats_valid_ : halves_valid_; }
  float scale() const { return scale_; }

  // Memory of the forms, taken when first asked for. A step that writes halves also writes zeros beyond the columns, up
  // to a multiple of tile_cols, where products read them and other content may have left anything.
  float* floats();
  std::size_t float_stride() const { return max_cols_; }
  __half* halves();
  std::size_t half_stride() const { return round_up(max_cols_, tile_cols); }

 private:
  std::function<void()> release_;
  std::size_t max_rows_;
  std::size_t max_cols_;
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::optional<NormInput> norm_;
  bool floats_valid_ = false;
  bool halves_valid_ = false;
  float scale_ = 1;
  std::optional<DeviceMemory> floats_;
  std::optional<DeviceMemory> halves_;
};

}  // namespace compute::cuda
