#include "compute/cuda/activations.h"

#include <string>
#include <utility>

#include "base/error.h"

namespace compute::cuda {

CudaActivations::CudaActivations(std::size_t max_rows, std::size_t max_cols, std::function<void()> release)
    : release_(std::move(release)), max_rows_(max_rows), max_cols_(max_cols) {}

void CudaActivations::reset(std::size_t rows, std::size_t cols) {
  if (rows > max_rows_ || cols > max_cols_) {
    throw base::Error(base::ErrorKind::Internal, "activations",
                      std::to_string(rows) + " rows of " + std::to_string(cols) + " do not fit");
  }
  rows_ = rows;
  cols_ = cols;
  norm_.reset();
  floats_valid_ = halves_valid_ = false;
  scale_ = 1;
}

void CudaActivations::set_valid(Form form, float scale) {
  norm_.reset();
  floats_valid_ = form == Form::Floats;
  halves_valid_ = form == Form::Halves;
  scale_ = scale;
}

float* CudaActivations::floats() {
  if (!floats_) floats_.emplace(max_rows_ * max_cols_ * sizeof(float));
  return floats_->as<float>();
}

__half* CudaActivations::halves() {
  if (!halves_) halves_.emplace(max_rows_ * half_stride() * sizeof(__half));
  return halves_->as<__half>();
}

}  // namespace compute::cuda
