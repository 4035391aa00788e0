#include "base/memory.h"

#include <sys/mman.h>

namespace base {

void* allocate_aligned(std::size_t bytes) {
  constexpr std::size_t line = 64;
  constexpr std::size_t large_page = std::size_t{2} << 20;
  const std::size_t alignment = bytes >= 2 * large_page ? large_page : line;
  if (bytes > SIZE_MAX - alignment) throw std::bad_alloc();
  const std::size_t whole = (bytes + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, whole);
  if (memory == nullptr) throw std::bad_alloc();
  if (alignment == large_page) madvise(memory, whole, MADV_HUGEPAGE);
  return memory;
}

}  // namespace base
