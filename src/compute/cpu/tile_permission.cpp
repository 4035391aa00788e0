#include "compute/cpu/tile_permission.h"

#if defined(__x86_64__) && defined(__linux__) && !defined(SMOLLM3_EMULATE_TILES)

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace compute::cpu {
namespace {

bool processor_has_tiles() {
  constexpr unsigned bf16 = 1U << 22;
  constexpr unsigned tile = 1U << 24;
  constexpr unsigned int8 = 1U << 25;
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & (bf16 | tile | int8)) == (bf16 | tile | int8);
}

// Linux saves the tiles (state component 18) only for processes that ask; a kernel that knows nothing of it refuses.
bool system_saves_tiles() {
  constexpr long request_permission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long tile_data = 18;
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

}  // namespace

bool tiles_permitted() {
  static const bool permitted = processor_has_tiles() && system_saves_tiles();
  return permitted;
}

}  // namespace compute::cpu

#else

namespace compute::cpu {

#if defined(SMOLLM3_EMULATE_TILES)
bool tiles_permitted() { return true; }
#else
bool tiles_permitted() { return false; }
#endif

}  // namespace compute::cpu

#endif
