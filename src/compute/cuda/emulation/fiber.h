// Switching between stacks: what a thread of an emulated block needs to wait while others run.
#pragma once

#include <cstddef>

namespace compute::cuda::emulation {

inline constexpr std::size_t stack_bytes = 256 * 1024;  // pages that are never touched cost nothing

// A stack that waits to be continued; with null memory, the one the program started with.
struct Stack {
  std::byte* memory = nullptr;
  void* pointer = nullptr;
  void* sanitizer = nullptr;  // what the address sanitizer wants to be kept
};

// The stack on which `main` will begin. It calls enter_stack() first and must not return.
Stack prepare_stack(std::byte* memory, void (*main)());
void enter_stack();

// Leaves the stack of the caller for another; `last`: it will not be continued.
void switch_stack(Stack& from, const Stack& to, bool last);

}  // namespace compute::cuda::emulation
