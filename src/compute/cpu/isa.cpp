#include "compute/cpu/isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "compute/cpu/tile_permission.h"

namespace compute {

#if defined(__x86_64__)
namespace {

// __builtin_cpu_supports("f16c") is not known to every compiler.
bool has_f16c() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

}  // namespace

bool supported(Isa isa) {
  __builtin_cpu_init();
  switch (isa) {
    case Isa::Amx:
      return supported(Isa::Avx512) && cpu::tiles_permitted();
    case Isa::Avx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vnni") && supported(Isa::Avx2);
    case Isa::Avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    case Isa::Scalar:
      return true;
  }
  return false;
}
#else
bool supported(Isa isa) { return isa == Isa::Scalar; }
#endif

namespace cpu {
namespace {

std::optional<Isa> isa_from_environment() {
  const char* value = std::getenv("SMOLLM3_CPU");
  if (value == nullptr || *value == '\0') return std::nullopt;
  const std::string_view name = value;
  if (name == "scalar") return Isa::Scalar;
  if (name == "avx2") return Isa::Avx2;
  if (name == "avx512") return Isa::Avx512;
  if (name == "amx") return Isa::Amx;
  throw base::Error("SMOLLM3_CPU", "\"" + std::string(name) + "\" is not an instruction set",
                    "set it to scalar, avx2, avx512 or amx, or unset it");
}

}  // namespace

Isa choose_isa(std::optional<Isa> forced) {
  if (!forced) forced = isa_from_environment();
  if (forced) {
    if (!supported(*forced)) {
      throw base::Error(base::ErrorKind::Resource, "SMOLLM3_CPU", "this processor lacks the instruction set asked for",
                        "unset it to use the best one available");
    }
    return *forced;
  }
  if (supported(Isa::Amx)) return Isa::Amx;
  if (supported(Isa::Avx512)) return Isa::Avx512;
  if (supported(Isa::Avx2)) return Isa::Avx2;
  return Isa::Scalar;
}

const Kernels& kernels_for(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::Amx) return amx_kernels();
  if (isa == Isa::Avx512) return avx512_kernels();
  if (isa == Isa::Avx2) return avx2_kernels();
#endif
  static_cast<void>(isa);
  return scalar_kernels();
}

}  // namespace cpu
}  // namespace compute
