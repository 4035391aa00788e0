#include "compute/cuda/emulation/fiber.h"

#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace compute::cuda::emulation {

#if defined(__x86_64__)

extern "C" void smollm3_emulation_switch(void** from, void* to);

// The registers that a function must leave as it found them go to the stack that is left.
asm(R"(
.text
.globl smollm3_emulation_switch
.type smollm3_emulation_switch, @function
smollm3_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size smollm3_emulation_switch, .-smollm3_emulation_switch
)");

namespace {

void* prepare_registers(std::byte* stack, void (*main)()) {
  // Six registers, the address that `ret` takes, and a return address of `main` that aligns its frame.
  auto* top = reinterpret_cast<std::uintptr_t*>(stack + stack_bytes) - 1;
  *top = 0;
  *--top = reinterpret_cast<std::uintptr_t>(main);
  for (int i = 0; i < 6; ++i) *--top = 0;
  return top;
}

void switch_registers(void*& from, void* to) { smollm3_emulation_switch(&from, to); }

}  // namespace

#else

namespace {

void* prepare_registers(std::byte* stack, void (*main)()) {
  auto* context = new (stack) ucontext_t;
  getcontext(context);
  context->uc_stack.ss_sp = stack + sizeof(ucontext_t);
  context->uc_stack.ss_size = stack_bytes - sizeof(ucontext_t);
  context->uc_link = nullptr;
  makecontext(context, main, 0);
  return context;
}

void switch_registers(void*& from, void* to) {
  ucontext_t here;
  from = &here;
  swapcontext(&here, static_cast<ucontext_t*>(to));
}

}  // namespace

#endif

#if defined(__SANITIZE_ADDRESS__)

namespace {

const void* first_stack = nullptr;
std::size_t first_stack_bytes = 0;

}  // namespace

Stack prepare_stack(std::byte* memory, void (*main)()) {
  __asan_unpoison_memory_region(memory, stack_bytes);
  return {memory, prepare_registers(memory, main), nullptr};
}

void enter_stack() { __sanitizer_finish_switch_fiber(nullptr, &first_stack, &first_stack_bytes); }

void switch_stack(Stack& from, const Stack& to, bool last) {
  const void* memory = to.memory == nullptr ? first_stack : to.memory;
  __sanitizer_start_switch_fiber(last ? nullptr : &from.sanitizer, memory,
                                 to.memory == nullptr ? first_stack_bytes : stack_bytes);
  switch_registers(from.pointer, to.pointer);
  __sanitizer_finish_switch_fiber(from.sanitizer, nullptr, nullptr);
}

#else

Stack prepare_stack(std::byte* memory, void (*main)()) { return {memory, prepare_registers(memory, main), nullptr}; }

void enter_stack() {}

void switch_stack(Stack& from, const Stack& to, bool) { switch_registers(from.pointer, to.pointer); }

#endif

}  // namespace compute::cuda::emulation
