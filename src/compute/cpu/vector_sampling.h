// Sampling's passes over logits, written once over a wrapper V of 16 float lanes (vector_float.h). Weights are integers
// from the exponential on, so the order of their sums does not matter.
//
// Everything is in an anonymous namespace and calls no library function: each instruction set's file gets its own copy.
#pragma once

#include "compute/cpu/kernels.h"
#include "compute/cpu/vector_float.h"

namespace compute::cpu {
namespace {

template <typename V>
struct SamplingKernels {
  using Reg = typename V::Reg;
  static constexpr unsigned all_lanes = 0xffff;

  // Calls body(i, x, lanes) for each 16 values from i on; `lanes` are those that exist and are allowed.
  template <typename Body>
  static void for_each(const float* x, const std::uint64_t* allowed, std::size_t count, const Body& body) {
    const auto lanes = [&](std::size_t i) {
      return allowed == nullptr ? all_lanes : static_cast<unsigned>(allowed[i / 64] >> (i % 64)) & all_lanes;
    };
    std::size_t i = 0;
    for (; i + 16 <= count; i += 16) body(i, V::load(x + i), lanes(i));
    if (i == count) return;
    alignas(64) float rest[16] = {};
    for (std::size_t lane = 0; i + lane < count; ++lane) rest[lane] = x[i + lane];
    body(i, V::load(rest), lanes(i) & ((1U << (count - i)) - 1));
  }

  static Reg keep(Reg x, unsigned lanes, Reg fill) { return lanes == all_lanes ? x : V::keep_bits(x, lanes, fill); }

  static float greatest(const float* logits, const std::uint64_t* allowed, std::size_t count, bool& finite) {
    const Reg nothing = V::set(-__builtin_inff());
    Reg most = nothing;
    Reg zeros = V::zero();  // times zero, only what is finite is zero
    for_each(logits, allowed, count, [&](std::size_t, Reg x, unsigned lanes) {
      zeros = V::fma(x, V::zero(), zeros);
      most = V::max(most, keep(x, lanes, nothing));
    });
    if (V::at_least(zeros, V::zero()) != all_lanes) finite = false;
    return V::largest(most);
  }

  static std::uint64_t weigh(const float* logits, const std::uint64_t* allowed, std::size_t count, float greatest_logit,
                             float inverse, float* weights) {
    const Reg most = V::set(greatest_logit);
    const Reg factor = V::set(inverse);
    const Reg one = V::set(0x1p30F);
    typename V::Sums sums = V::no_sums();
    for_each(logits, allowed, count, [&](std::size_t i, Reg x, unsigned lanes) {
      const Reg power = FloatKernels<V>::exp(V::mul(V::sub(x, most), factor));
      const auto weight = V::round(keep(V::mul(power, one), lanes, V::zero()));
      sums = V::add(sums, weight);
      if (weights != nullptr) V::store(weights + i, V::to_floats(weight));
    });
    return V::total(sums);
  }

  static std::size_t collect(const float* x, std::size_t count, float least, std::uint32_t first, float* values,
                             std::uint32_t* tokens) {
    const Reg limit = V::set(least);
    std::size_t found = 0;
    for_each(x, nullptr, count, [&](std::size_t i, Reg value, unsigned lanes) {
      const unsigned chosen = V::at_least(value, limit) & lanes;
      if (chosen == 0) return;
      found += V::compress(value, chosen, first + static_cast<std::uint32_t>(i), values + found, tokens + found);
    });
    return found;
  }
};

}  // namespace
}  // namespace compute::cpu
