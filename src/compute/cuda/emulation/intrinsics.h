// CUDA's functions on threads, memory and numbers, for the emulation on the processor.
#pragma once

#include <cuda_runtime.h>

#include "compute/cuda/emulation/machine.h"

namespace compute::cuda::emulation {

// Lane l gets the value of lane `source(l)`, and 0xFF bytes where that lane takes no part.
template <typename T, typename Source>
T shuffle(const char* instruction, std::uint32_t mask, T value, Source source) {
  struct Arguments {
    T value;
    int from;
    T result;
  };
  const int lane = static_cast<int>(current_thread().number % warp_lanes);
  Arguments mine{value, source(lane), value};
  together(Scope::warp, instruction, mask, mine, [](const auto& lanes) {
    for (Arguments* to : lanes) {
      if (to == nullptr) continue;
      const Arguments* from = lanes[static_cast<std::size_t>(to->from)];
      if (from != nullptr) {
        to->result = from->value;
      } else {
        std::memset(static_cast<void*>(&to->result), 0xFF, sizeof(T));
      }
    }
  });
  return mine.result;
}

// Every lane (thread) gets combine of all values, from the lowest to the highest.
template <typename T, typename Combine>
T reduce(Scope scope, const char* instruction, std::uint32_t mask, T value, Combine combine) {
  struct Arguments {
    T value;
    T result;
  };
  Arguments mine{value, value};
  together(scope, instruction, mask, mine, [&](const auto& lanes) {
    bool first = true;
    T result{};
    for (const Arguments* lane : lanes) {
      if (lane == nullptr) continue;
      result = first ? lane->value : combine(result, lane->value);
      first = false;
    }
    for (Arguments* lane : lanes) {
      if (lane != nullptr) lane->result = result;
    }
  });
  return mine.result;
}

template <typename T, typename Change>
T exchange(T* address, Change change) {
  const T old = *address;
  *address = change(old);
  return old;
}

}  // namespace compute::cuda::emulation

// Barriers and votes.
inline void __syncthreads() {
  compute::cuda::emulation::barrier(compute::cuda::emulation::Scope::block, "__syncthreads");
}
inline void __syncwarp(unsigned mask = ~0U) {
  compute::cuda::emulation::barrier(compute::cuda::emulation::Scope::warp, "__syncwarp", mask);
}
inline int __syncthreads_or(int value) {
  using namespace compute::cuda::emulation;
  return reduce(Scope::block, "__syncthreads_or", ~0U, int{value != 0}, [](int a, int b) { return a | b; });
}
inline int __syncthreads_and(int value) {
  using namespace compute::cuda::emulation;
  return reduce(Scope::block, "__syncthreads_and", ~0U, int{value != 0}, [](int a, int b) { return a & b; });
}
inline int __syncthreads_count(int value) {
  using namespace compute::cuda::emulation;
  return reduce(Scope::block, "__syncthreads_count", ~0U, int{value != 0}, [](int a, int b) { return a + b; });
}
inline void __threadfence() {}
inline void __threadfence_block() {}
[[noreturn]] inline void __trap() { compute::cuda::emulation::fail("__trap()"); }

inline unsigned __ballot_sync(unsigned mask, int value) {
  using namespace compute::cuda::emulation;
  const unsigned bit = 1U << current_thread().number % warp_lanes;
  return reduce(Scope::warp, "__ballot_sync", mask, value != 0 ? bit : 0U,
                [](unsigned a, unsigned b) { return a | b; });
}
inline int __any_sync(unsigned mask, int value) {
  using namespace compute::cuda::emulation;
  return reduce(Scope::warp, "__any_sync", mask, int{value != 0}, [](int a, int b) { return a | b; });
}
inline int __all_sync(unsigned mask, int value) {
  using namespace compute::cuda::emulation;
  return reduce(Scope::warp, "__all_sync", mask, int{value != 0}, [](int a, int b) { return a & b; });
}
template <typename T>
T __reduce_add_sync(unsigned mask, T value) {
  using namespace compute::cuda::emulation;
  return reduce(Scope::warp, "__reduce_add_sync", mask, value, [](T a, T b) { return static_cast<T>(a + b); });
}
template <typename T>
T __reduce_max_sync(unsigned mask, T value) {
  using namespace compute::cuda::emulation;
  return reduce(Scope::warp, "__reduce_max_sync", mask, value, [](T a, T b) { return std::max(a, b); });
}
template <typename T>
T __reduce_min_sync(unsigned mask, T value) {
  using namespace compute::cuda::emulation;
  return reduce(Scope::warp, "__reduce_min_sync", mask, value, [](T a, T b) { return std::min(a, b); });
}

// Shuffles. `width`, a power of two, cuts the warp into parts that shuffle by themselves.
template <typename T>
T __shfl_sync(unsigned mask, T value, int from, int width = warpSize) {
  return compute::cuda::emulation::shuffle("__shfl_sync", mask, value,
                                           [=](int lane) { return (lane & ~(width - 1)) | (from & (width - 1)); });
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize) {
  return compute::cuda::emulation::shuffle("__shfl_xor_sync", mask, value, [=](int lane) {
    const int from = lane ^ bits;
    return from < (lane & ~(width - 1)) + width ? from : lane;
  });
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = warpSize) {
  return compute::cuda::emulation::shuffle("__shfl_down_sync", mask, value, [=](int lane) {
    const int from = lane + static_cast<int>(distance);
    return from < (lane & ~(width - 1)) + width ? from : lane;
  });
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = warpSize) {
  return compute::cuda::emulation::shuffle("__shfl_up_sync", mask, value, [=](int lane) {
    const int from = lane - static_cast<int>(distance);
    return from >= (lane & ~(width - 1)) ? from : lane;
  });
}

// Memory. Threads take turns only where they wait, so plain statements are atomic.
template <typename T>
T __ldg(const T* address) {
  return *address;
}
template <typename T>
T __ldcg(const T* address) {
  return *address;
}
template <typename T>
T __ldcs(const T* address) {
  return *address;
}
template <typename T>
void __stcg(T* address, T value) {
  *address = value;
}
template <typename T>
void __stcs(T* address, T value) {
  *address = value;
}
template <typename T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return compute::cuda::emulation::exchange(address, [=](T old) { return static_cast<T>(old + value); });
}
template <typename T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return compute::cuda::emulation::exchange(address, [=](T old) { return std::max(old, value); });
}
template <typename T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return compute::cuda::emulation::exchange(address, [=](T old) { return std::min(old, value); });
}
template <typename T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return compute::cuda::emulation::exchange(address, [=](T old) { return old | value; });
}
template <typename T>
T atomicAnd(T* address, std::type_identity_t<T> value) {
  return compute::cuda::emulation::exchange(address, [=](T old) { return old & value; });
}
template <typename T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return compute::cuda::emulation::exchange(address, [=](T) { return value; });
}
template <typename T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return compute::cuda::emulation::exchange(address, [=](T old) { return old == expected ? value : old; });
}
inline unsigned atomicInc(unsigned* address, unsigned last) {
  return compute::cuda::emulation::exchange(address, [=](unsigned old) { return old >= last ? 0 : old + 1; });
}
inline unsigned atomicDec(unsigned* address, unsigned last) {
  return compute::cuda::emulation::exchange(address,
                                            [=](unsigned old) { return old == 0 || old > last ? last : old - 1; });
}

// Bits.
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>(((std::uint64_t{high} << 32 | low) << (shift & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((std::uint64_t{high} << 32 | low) >> (shift & 31));
}
// Byte i of the result is the one of y:x that nibble i of `selector` names; its high bit copies that byte's sign
// instead.
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const std::uint64_t both = std::uint64_t{y} << 32 | x;
  unsigned result = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned nibble = selector >> 4 * i & 15;
    unsigned byte = static_cast<unsigned>(both >> 8 * (nibble & 7) & 255);
    if ((nibble & 8) != 0) byte = (byte & 128) != 0 ? 255 : 0;
    result |= byte << 8 * i;
  }
  return result;
}

// Numbers. The approximate functions are carried out exactly.
#define SMOLLM3_EMULATED_MIN_MAX(A, B, R)                                                                             \
  constexpr R min(A a, B b) { return static_cast<R>(a) < static_cast<R>(b) ? static_cast<R>(a) : static_cast<R>(b); } \
  constexpr R max(A a, B b) { return static_cast<R>(a) > static_cast<R>(b) ? static_cast<R>(a) : static_cast<R>(b); }
SMOLLM3_EMULATED_MIN_MAX(int, int, int)
SMOLLM3_EMULATED_MIN_MAX(unsigned, unsigned, unsigned)
SMOLLM3_EMULATED_MIN_MAX(int, unsigned, unsigned)
SMOLLM3_EMULATED_MIN_MAX(unsigned, int, unsigned)
SMOLLM3_EMULATED_MIN_MAX(long, long, long)
SMOLLM3_EMULATED_MIN_MAX(unsigned long, unsigned long, unsigned long)
SMOLLM3_EMULATED_MIN_MAX(long long, long long, long long)
SMOLLM3_EMULATED_MIN_MAX(unsigned long long, unsigned long long, unsigned long long)
#undef SMOLLM3_EMULATED_MIN_MAX
// A NaN loses against a number.
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline float __frsqrt_rn(float x) { return 1 / std::sqrt(x); }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline int __float2int_rn(float x) { return static_cast<int>(std::nearbyint(x)); }
inline int __float2int_rd(float x) { return static_cast<int>(std::floor(x)); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
// The C library declares these names for itself.
#define __expf(x) std::exp(static_cast<float>(x))
#define __logf(x) std::log(static_cast<float>(x))
#define __log2f(x) std::log2(static_cast<float>(x))
#define __sinf(x) std::sin(static_cast<float>(x))
#define __cosf(x) std::cos(static_cast<float>(x))
#define __powf(x, y) std::pow(static_cast<float>(x), static_cast<float>(y))
