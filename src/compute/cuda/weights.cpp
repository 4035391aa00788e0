#include "compute/cuda/weights.h"

#include <algorithm>
#include <exception>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"

namespace compute::cuda {
namespace {

constexpr std::size_t alignment = 256;
constexpr std::size_t part_bytes = 4 << 20;  // packed and copied at a time by one thread

// Rows of a matrix that one thread packs and copies.
struct Part {
  const Matrix* weight;
  std::size_t first;
  std::size_t count;
  std::byte* to;
};

std::string megabytes(std::size_t bytes) { return std::to_string(bytes / 1'000'000) + " MB"; }

}  // namespace

void Weights::prepare(std::span<const Matrix> matrices, std::span<const std::span<const float>> gains, int threads) {
  std::size_t bytes = 0;
  for (const Matrix& weight : matrices) {
    const PackedMatrix packed{packed_format(weight.type), weight.rows, weight.cols};
    bytes += round_up(packed.bytes(), alignment);
  }
  for (const std::span<const float> gain : gains) bytes += round_up(gain.size_bytes(), alignment);
  std::size_t available = 0;
  std::size_t total = 0;
  check(cudaMemGetInfo(&available, &total), "memory");
  if (bytes > available) {
    throw base::Error(base::ErrorKind::Resource, "memory of the GPU",
                      "the weights take " + megabytes(bytes) + " and " + megabytes(available) + " are free",
                      "use --device cpu or a smaller file");
  }
  const DeviceMemory& memory = memory_.emplace_back(bytes);

  std::vector<Part> parts;
  std::size_t offset = 0;
  for (const Matrix& weight : matrices) {
    PackedMatrix packed{packed_format(weight.type), weight.rows, weight.cols, memory.as(offset)};
    const std::size_t row_bytes = packed.bytes() / packed.padded_rows();
    const std::size_t unit = std::max(row_unit, part_bytes / row_bytes / row_unit * row_unit);
    for (std::size_t first = 0; first < weight.rows; first += unit) {
      parts.push_back({&weight, first, std::min(unit, weight.rows - first), memory.as(offset + first * row_bytes)});
    }
    offset += round_up(packed.bytes(), alignment);
    any_floats_ |= packed.format == Format::F32;
    matrices_[weight.data.data()] = packed;
  }
  base::ThreadPool pool(threads);
  std::vector<std::exception_ptr> failures(static_cast<std::size_t>(threads));
  pool.run(static_cast<int>(parts.size()), [&](int i, int thread) {
    const Part& part = parts[static_cast<std::size_t>(i)];
    try {
      const std::vector<std::byte> packed = pack_rows(*part.weight, part.first, part.count);
      check(cudaMemcpy(part.to, packed.data(), packed.size(), cudaMemcpyHostToDevice), "copy of weights");
    } catch (...) {
      failures[static_cast<std::size_t>(thread)] = std::current_exception();
    }
  });
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  for (const std::span<const float> gain : gains) {
    check(cudaMemcpy(memory.as(offset), gain.data(), gain.size_bytes(), cudaMemcpyHostToDevice), "copy of weights");
    gains_[gain.data()] = memory.as<float>(offset);
    offset += round_up(gain.size_bytes(), alignment);
  }
  check(cudaDeviceSynchronize(), "copy of weights");
}

const PackedMatrix& Weights::matrix(const Matrix& weight) const {
  const auto found = matrices_.find(weight.data.data());
  if (found == matrices_.end() || found->second.rows != weight.rows || found->second.cols != weight.cols) {
    throw base::Error(base::ErrorKind::Internal, "matrix", "was not prepared");
  }
  return found->second;
}

const float* Weights::gain(std::span<const float> gain) const {
  const auto found = gains_.find(gain.data());
  if (found == gains_.end()) throw base::Error(base::ErrorKind::Internal, "norm", "its gain was not prepared");
  return found->second;
}

}  // namespace compute::cuda
