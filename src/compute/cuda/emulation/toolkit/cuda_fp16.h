// binary16 numbers as CUDA's header of this name has them, for the emulation on the processor: each operation is
// carried out exactly and rounded once, to nearest even.
#pragma once

#include <cuda_runtime.h>

#include <bit>
#include <cmath>
#include <cstdint>

namespace compute::cuda::emulation {

constexpr float half_to_float(std::uint16_t bits) {
  const std::uint32_t sign = std::uint32_t{bits & 0x8000U} << 16;
  const std::uint32_t rest = bits & 0x7FFFU;
  if (rest >= 0x7C00) return std::bit_cast<float>(sign | 0x7F800000 | (rest & 0x3FF) << 13);
  // The exponent's bias is 112 smaller: so is that of a subnormal number, which the product normalises.
  const float magnitude = std::bit_cast<float>(rest << 13) * 0x1p112F;
  return sign != 0 ? -magnitude : magnitude;
}

constexpr std::uint16_t round_to_half(double value) {
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(value);
  const std::uint32_t sign = static_cast<std::uint32_t>(bits >> 48 & 0x8000);
  const double magnitude = std::bit_cast<double>(bits & ~(std::uint64_t{1} << 63));
  if (magnitude != magnitude) return 0x7FFF;
  if (magnitude >= 65520) return static_cast<std::uint16_t>(sign | 0x7C00);
  // Adding a number whose last bit weighs as much as the result's last bit rounds to it.
  int exponent = static_cast<int>(bits >> 52 & 0x7FF) - 1023;
  if (exponent < -14) exponent = -14;
  const double anchor = std::bit_cast<double>(static_cast<std::uint64_t>(exponent + 42 + 1023) << 52);
  const double rounded = (magnitude + anchor) - anchor;
  const auto steps = static_cast<std::uint32_t>(
      rounded * std::bit_cast<double>(static_cast<std::uint64_t>(10 - exponent + 1023) << 52));
  return static_cast<std::uint16_t>(sign | (static_cast<std::uint32_t>(exponent + 14) * 1024 + steps));
}

// a * b + c, rounded to a double such that rounding it again to a half is as good as rounding once.
inline double fused(double a, double b, double c) {
  const double product = a * b;  // exact: 22 bits
  const double sum = product + c;
  if (!std::isfinite(sum)) return sum;
  const double part = sum - product;
  const double lost = (product - (sum - part)) + (c - part);
  const auto bits = std::bit_cast<std::uint64_t>(sum);
  if (lost == 0 || (bits & 1) != 0) return sum;
  return std::bit_cast<double>((lost > 0) == (sum > 0) ? bits + 1 : bits - 1);
}

}  // namespace compute::cuda::emulation

struct __half_raw {
  std::uint16_t x;
};

struct __half {
  std::uint16_t bits;

  __half() = default;
  constexpr __half(float value) : bits(compute::cuda::emulation::round_to_half(value)) {}
  constexpr __half(double value) : bits(compute::cuda::emulation::round_to_half(value)) {}
  constexpr __half(int value) : bits(compute::cuda::emulation::round_to_half(value)) {}
  constexpr __half(unsigned value) : bits(compute::cuda::emulation::round_to_half(value)) {}
  constexpr __half(__half_raw raw) : bits(raw.x) {}
  constexpr operator float() const { return compute::cuda::emulation::half_to_float(bits); }
  constexpr operator __half_raw() const { return {bits}; }
};
struct alignas(4) __half2 {
  __half x;
  __half y;

  __half2() = default;
  constexpr __half2(__half x_, __half y_) : x(x_), y(y_) {}
};
using half = __half;
using half2 = __half2;

// Conversions.
constexpr __half __ushort_as_half(unsigned short bits) { return __half_raw{bits}; }
constexpr unsigned short __half_as_ushort(__half h) { return h.bits; }
constexpr __half __short_as_half(short bits) { return __half_raw{static_cast<std::uint16_t>(bits)}; }
constexpr short __half_as_short(__half h) { return static_cast<short>(h.bits); }
constexpr float __half2float(__half h) { return h; }
constexpr __half __float2half(float f) { return f; }
constexpr __half __float2half_rn(float f) { return f; }
constexpr __half __double2half(double d) { return d; }
constexpr __half __int2half_rn(int i) { return i; }
constexpr __half __uint2half_rn(unsigned i) { return i; }
constexpr __half __ushort2half_rn(unsigned short i) { return static_cast<unsigned>(i); }
inline int __half2int_rn(__half h) { return static_cast<int>(std::nearbyint(static_cast<float>(h))); }
constexpr __half2 __floats2half2_rn(float x, float y) { return {x, y}; }
constexpr __half2 __float22half2_rn(float2 f) { return {f.x, f.y}; }
constexpr __half2 __float2half2_rn(float f) { return {f, f}; }
constexpr float2 __half22float2(__half2 h) { return {h.x, h.y}; }
constexpr float __low2float(__half2 h) { return h.x; }
constexpr float __high2float(__half2 h) { return h.y; }
constexpr __half __low2half(__half2 h) { return h.x; }
constexpr __half __high2half(__half2 h) { return h.y; }
constexpr __half2 __low2half2(__half2 h) { return {h.x, h.x}; }
constexpr __half2 __high2half2(__half2 h) { return {h.y, h.y}; }
constexpr __half2 __lows2half2(__half2 a, __half2 b) { return {a.x, b.x}; }
constexpr __half2 __highs2half2(__half2 a, __half2 b) { return {a.y, b.y}; }
constexpr __half2 __lowhigh2highlow(__half2 h) { return {h.y, h.x}; }
constexpr __half2 __half2half2(__half h) { return {h, h}; }
constexpr __half2 __halves2half2(__half x, __half y) { return {x, y}; }
constexpr __half2 make_half2(__half x, __half y) { return {x, y}; }

// Arithmetic. Sums, differences and products of halves are exact in double; a quotient's double is never a tie.
constexpr __half __hadd(__half a, __half b) { return static_cast<double>(float{a}) + static_cast<double>(float{b}); }
constexpr __half __hsub(__half a, __half b) { return static_cast<double>(float{a}) - static_cast<double>(float{b}); }
constexpr __half __hmul(__half a, __half b) { return static_cast<double>(float{a}) * static_cast<double>(float{b}); }
constexpr __half __hdiv(__half a, __half b) { return static_cast<double>(float{a}) / static_cast<double>(float{b}); }
inline __half __hfma(__half a, __half b, __half c) {
  return compute::cuda::emulation::fused(float{a}, float{b}, float{c});
}
constexpr __half __hneg(__half a) { return __half_raw{static_cast<std::uint16_t>(a.bits ^ 0x8000)}; }
constexpr __half __habs(__half a) { return __half_raw{static_cast<std::uint16_t>(a.bits & 0x7FFF)}; }
constexpr bool __hisnan(__half a) { return (a.bits & 0x7FFF) > 0x7C00; }
constexpr __half __hmax(__half a, __half b) { return __hisnan(a) || float{a} < float{b} ? b : a; }
constexpr __half __hmin(__half a, __half b) { return __hisnan(a) || float{a} > float{b} ? b : a; }
constexpr bool __heq(__half a, __half b) { return float{a} == float{b}; }
constexpr bool __hne(__half a, __half b) { return float{a} != float{b}; }
constexpr bool __hlt(__half a, __half b) { return float{a} < float{b}; }
constexpr bool __hle(__half a, __half b) { return float{a} <= float{b}; }
constexpr bool __hgt(__half a, __half b) { return float{a} > float{b}; }
constexpr bool __hge(__half a, __half b) { return float{a} >= float{b}; }
inline __half hexp(__half a) { return std::exp(static_cast<double>(float{a})); }
inline __half hexp2(__half a) { return std::exp2(static_cast<double>(float{a})); }
inline __half hsqrt(__half a) { return std::sqrt(static_cast<double>(float{a})); }

constexpr __half2 __hadd2(__half2 a, __half2 b) { return {__hadd(a.x, b.x), __hadd(a.y, b.y)}; }
constexpr __half2 __hsub2(__half2 a, __half2 b) { return {__hsub(a.x, b.x), __hsub(a.y, b.y)}; }
constexpr __half2 __hmul2(__half2 a, __half2 b) { return {__hmul(a.x, b.x), __hmul(a.y, b.y)}; }
constexpr __half2 __h2div(__half2 a, __half2 b) { return {__hdiv(a.x, b.x), __hdiv(a.y, b.y)}; }
inline __half2 __hfma2(__half2 a, __half2 b, __half2 c) { return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)}; }
constexpr __half2 __hneg2(__half2 a) { return {__hneg(a.x), __hneg(a.y)}; }
constexpr __half2 __habs2(__half2 a) { return {__habs(a.x), __habs(a.y)}; }
constexpr __half2 __hmax2(__half2 a, __half2 b) { return {__hmax(a.x, b.x), __hmax(a.y, b.y)}; }
constexpr __half2 __hmin2(__half2 a, __half2 b) { return {__hmin(a.x, b.x), __hmin(a.y, b.y)}; }
inline __half2 h2exp2(__half2 a) { return {hexp2(a.x), hexp2(a.y)}; }

constexpr __half operator+(__half a, __half b) { return __hadd(a, b); }
constexpr __half operator-(__half a, __half b) { return __hsub(a, b); }
constexpr __half operator*(__half a, __half b) { return __hmul(a, b); }
constexpr __half operator/(__half a, __half b) { return __hdiv(a, b); }
constexpr __half operator-(__half a) { return __hneg(a); }
constexpr bool operator==(__half a, __half b) { return __heq(a, b); }
constexpr bool operator!=(__half a, __half b) { return __hne(a, b); }
constexpr bool operator<(__half a, __half b) { return __hlt(a, b); }
constexpr bool operator>(__half a, __half b) { return __hgt(a, b); }
constexpr __half2 operator+(__half2 a, __half2 b) { return __hadd2(a, b); }
constexpr __half2 operator-(__half2 a, __half2 b) { return __hsub2(a, b); }
constexpr __half2 operator*(__half2 a, __half2 b) { return __hmul2(a, b); }
