// Matrix instructions: fragments as "Matrix Fragments" of PTX's sections 9.7.14.5 (mma, ldmatrix) and 9.7.15.5 (wgmma)
// have them. With g = lane / 4 and t = lane % 4, a register of a lane holds two halves of row g (or g + 8) at columns
// 2t and 2t + 1 (or 8 further on).
#include <algorithm>
#include <cstring>
#include <vector>

#include "compute/cuda/emulation/machine.h"
#include "compute/cuda/emulation/ptx.h"

namespace compute::cuda {

namespace {

using emulation::half_to_float;
using emulation::Scope;

constexpr std::size_t step = 16;  // of k

float low(std::uint32_t pair) { return half_to_float(static_cast<std::uint16_t>(pair)); }
float high(std::uint32_t pair) { return half_to_float(static_cast<std::uint16_t>(pair >> 16)); }

// The 16 x 16 part of A, rows 16 apart, whose fragment a lane has.
void gather(std::size_t lane, const std::uint32_t* a, float* matrix) {
  const std::size_t g = lane / 4;
  const std::size_t t = lane % 4;
  for (std::size_t i = 0; i < 4; ++i) {
    float* to = matrix + (g + i % 2 * 8) * step + 2 * t + i / 2 * 8;
    to[0] = low(a[i]);
    to[1] = high(a[i]);
  }
}

// c[i][j] = Σ_k a[i][k] b[k][j], added up in k's order.
void multiply_matrices(const float* a, const float* b, std::size_t rows, std::size_t cols, float* c) {
  std::fill(c, c + rows * cols, 0.0F);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t k = 0; k < step; ++k) {
      for (std::size_t j = 0; j < cols; ++j) c[i * cols + j] += a[i * step + k] * b[k * cols + j];
    }
  }
}

struct MultiplyArguments {
  float* d;
  const std::uint32_t* a;
  const std::uint32_t* b;
};

void multiply_warp(const std::vector<MultiplyArguments*>& lanes) {
  constexpr std::size_t cols = 8;
  float a[16 * step];
  float b[step * cols];
  float c[16 * cols];
  for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
    if (lanes[lane] == nullptr) emulation::fail("mma: lane %zu has ended", lane);
    gather(lane, lanes[lane]->a, a);
    for (std::size_t i = 0; i < 2; ++i) {
      float* to = b + (2 * (lane % 4) + 8 * i) * cols + lane / 4;
      to[0] = low(lanes[lane]->b[i]);
      to[cols] = high(lanes[lane]->b[i]);
    }
  }
  multiply_matrices(a, b, 16, cols, c);
  for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
    for (std::size_t i = 0; i < 4; ++i) {
      lanes[lane]->d[i] += c[(lane / 4 + i / 2 * 8) * cols + 2 * (lane % 4) + i % 2];
    }
  }
}

struct WarpgroupArguments {
  unsigned n;
  float* sums;
  const std::uint32_t* a;
  std::uint64_t a_descriptor;
  std::uint64_t b_descriptor;
  bool accumulate;
  std::size_t group;
};

// Rows of an operand in shared memory with the 128-byte swizzle ("Shared Memory Matrix Layout", "Matrix Descriptor");
// element k of a row goes to matrix[row * row_stride + k * k_stride].
void read_operand(std::uint64_t descriptor, std::size_t rows, std::size_t group, std::vector<float>& matrix,
                  std::size_t row_stride, std::size_t k_stride) {
  if (descriptor >> 62 != 1) emulation::fail("wgmma: the descriptor does not ask for the 128-byte swizzle");
  if ((descriptor >> 49 & 7) != 0) emulation::fail("wgmma: the descriptor has a base offset");
  const auto start = static_cast<std::uint32_t>(descriptor & 0x3FFF) << 4;
  const auto stride = static_cast<std::uint32_t>(descriptor >> 32 & 0x3FFF) << 4;
  if (start % 128 + 2 * step > 128 || start / 128 % 8 != 0) {
    emulation::fail(
        "wgmma: 16 columns from shared address 0x%x leave the row of 128 bytes, or its rows' pattern does not "
        "start at a multiple of 1,024",
        start);
  }
  matrix.resize(rows * step);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::uint32_t chunk = 0; chunk < 2; ++chunk) {
      std::uint32_t address =
          start + static_cast<std::uint32_t>(row / 8) * stride + static_cast<std::uint32_t>(row % 8) * 128 + chunk * 16;
      address ^= (address >> 7 & 7) << 4;
      std::byte* memory = emulation::shared_bytes(address, 16, 16, "wgmma");
      if (emulation::awaits_fence(memory)) {
        emulation::fail("wgmma reads what cp.async brought without fence_async_shared()");
      }
      emulation::keep_operand(memory, group);
      std::uint16_t halves[8];
      std::memcpy(halves, memory, 16);
      for (std::size_t i = 0; i < 8; ++i) {
        matrix[row * row_stride + (chunk * 8 + i) * k_stride] = half_to_float(halves[i]);
      }
    }
  }
}

void multiply_warpgroup_together(const std::vector<WarpgroupArguments*>& threads) {
  const WarpgroupArguments& first = *threads[0];
  for (const WarpgroupArguments* thread : threads) {
    if (thread == nullptr) emulation::fail("wgmma: a thread of the warpgroup has ended");
    if (thread->n != first.n || thread->a_descriptor != first.a_descriptor ||
        thread->b_descriptor != first.b_descriptor || thread->accumulate != first.accumulate ||
        (thread->a == nullptr) != (first.a == nullptr)) {
      emulation::fail("wgmma: operands differ among the threads of the warpgroup");
    }
  }
  const std::size_t n = first.n;
  std::vector<float> a;
  std::vector<float> b;
  read_operand(first.b_descriptor, n, first.group, b, 1, n);
  if (first.a != nullptr) {
    a.resize(64 * step);
    for (std::size_t i = 0; i < threads.size(); ++i) gather(i % 32, threads[i]->a, &a[i / 32 * 16 * step]);
  } else {
    read_operand(first.a_descriptor, 64, first.group, a, step, 1);
  }
  std::vector<float> c(64 * n);
  multiply_matrices(a.data(), b.data(), 64, n, c.data());
  for (std::size_t i = 0; i < threads.size(); ++i) {
    const std::size_t g = i / 32 * 16 + i % 32 / 4;
    for (std::size_t j = 0; j < n / 2; ++j) {
      const float sum = c[(g + j % 4 / 2 * 8) * n + j / 4 * 8 + 2 * (i % 4) + j % 2];
      float& d = threads[i]->sums[j];
      d = first.accumulate ? d + sum : sum;
    }
  }
}

// A signalling NaN, which arithmetic turns into a quiet one: what stands in sums that are not yet there.
constexpr std::uint32_t not_yet = 0xFFBFFFFF;

void poison(float* sums, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) std::memcpy(&sums[i], &not_yet, sizeof not_yet);
}

bool poisoned(const float* sums, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): the bits are meant
    if (std::memcmp(&sums[i], &not_yet, sizeof not_yet) != 0) return false;
  }
  return true;
}

}  // namespace

namespace ptx {

void detail::load_matrices(std::uint32_t address, std::uint32_t (&r)[4], bool transposed) {
  struct Arguments {
    std::uint32_t address;
    std::uint32_t* r;
  };
  Arguments mine{address, r};
  emulation::together(Scope::warp, transposed ? "ldmatrix.trans" : "ldmatrix", ~0U, mine, [=](const auto& lanes) {
    std::uint16_t rows[32][8];
    for (std::size_t lane = 0; lane < 32; ++lane) {
      if (lanes[lane] == nullptr) emulation::fail("ldmatrix: lane %zu has ended", lane);
      std::memcpy(rows[lane], emulation::shared_bytes(lanes[lane]->address, 16, 16, "ldmatrix"), 16);
    }
    for (std::size_t lane = 0; lane < 32; ++lane) {
      for (std::size_t i = 0; i < 4; ++i) {
        const std::size_t g = lane / 4;
        const std::size_t column = 2 * (lane % 4);
        const auto* matrix = &rows[8 * i];
        const std::uint32_t first = transposed ? matrix[column][g] : matrix[g][column];
        const std::uint32_t second = transposed ? matrix[column + 1][g] : matrix[g][column + 1];
        lanes[lane]->r[i] = first | second << 16;
      }
    }
  });
}

void multiply(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  MultiplyArguments mine{d, a, b};
  emulation::together(Scope::warp, "mma", ~0U, mine, multiply_warp);
}

}  // namespace ptx

namespace emulation {

void multiply_warpgroup(unsigned n, float* d, const std::uint32_t* a, std::uint64_t a_descriptor,
                        std::uint64_t b_descriptor, bool accumulate) {
  Thread& self = current_thread();
  // PTX asks for it only where registers were touched since the last product, which cannot be seen from here.
  if (!self.arrived) fail("wgmma without warpgroup_arrive() before it");
  auto sums = std::find_if(self.sums.begin(), self.sums.end(), [&](const PendingSums& p) { return p.registers == d; });
  if (sums == self.sums.end()) {
    sums = self.sums.insert(self.sums.end(), {d, std::vector<float>(d, d + n / 2), self.group});
    poison(d, n / 2);
  }
  sums->group = self.group;
  WarpgroupArguments mine{n, sums->values.data(), a, a_descriptor, b_descriptor, accumulate, self.group};
  together(Scope::warpgroup, "wgmma", ~0U, mine, multiply_warpgroup_together);
}

void warpgroup_arrive() {
  barrier(Scope::warpgroup, "warpgroup_arrive");
  current_thread().arrived = true;
}

void warpgroup_commit() {
  barrier(Scope::warpgroup, "warpgroup_commit");
  ++current_thread().group;
}

void warpgroup_wait(std::size_t pending) {
  barrier(Scope::warpgroup, "warpgroup_wait");
  Thread& self = current_thread();
  const std::size_t complete = self.group > pending ? self.group - pending : 0;
  check_operands(complete);
  std::erase_if(self.sums, [&](PendingSums& sums) {
    if (sums.group >= complete) return false;
    if (!poisoned(sums.registers, sums.values.size())) fail("sums of wgmma were written before warpgroup_wait");
    std::memcpy(sums.registers, sums.values.data(), sums.values.size() * sizeof(float));
    return true;
  });
  if (self.sums.empty()) self.arrived = false;
}

}  // namespace emulation

}  // namespace compute::cuda
