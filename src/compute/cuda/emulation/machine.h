// The processor's stand-in for a GPU: blocks of a grid run one after another, each thread of a block on a stack of its
// own, and a thread gives way to the next only where it has to wait for others. What a GPU would leave undefined stops
// the program with a message that names the block and thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "compute/cuda/emulation/fiber.h"
#include "compute/cuda/emulation/types.h"

namespace compute::cuda::emulation {

inline constexpr unsigned warp_lanes = 32;
inline constexpr unsigned warpgroup_threads = 128;

// Which threads carry an instruction out together.
enum class Scope { warp, warpgroup, block };

// 16 bytes that cp.async brings to shared memory.
struct Copy {
  std::byte* to = nullptr;
  const std::byte* from = nullptr;  // nullptr: zeros
};

// Sums that matrix products of a warpgroup are still adding to, and what they will be.
struct PendingSums {
  float* registers = nullptr;
  std::vector<float> values;
  std::size_t group = 0;  // the last group of products that adds to them
};

struct Thread {
  uint3 index{0, 0, 0};
  unsigned number = 0;  // counted through the block, x fastest

  const char* waits_at = nullptr;  // the instruction; nullptr: it can run
  Scope scope = Scope::warp;       // of the instruction
  std::uint32_t mask = 0;          // of lanes that carry out the instruction together
  void* arguments = nullptr;       // of the instruction
  bool executes = false;           // it is woken to carry out the instruction for all
  bool ended = false;

  std::vector<Copy> copies;               // not yet committed
  std::vector<std::vector<Copy>> groups;  // committed, oldest first
  std::vector<std::size_t> unfenced;      // chunks of shared memory that the asynchronous proxy must not read yet

  std::vector<PendingSums> sums;
  std::size_t group = 0;  // of products, counted from 0: the one that is being issued
  bool arrived = false;   // at warpgroup_arrive() since nothing was under way

  Stack stack;
};

// Of the thread that runs.
Thread& current_thread();
extern uint3 block_index;
extern dim3 block_size;
extern dim3 grid_size;

// Runs `kernel` for every thread of the grid.
void run_grid(dim3 grid, dim3 block, std::size_t shared, const std::function<void()>& kernel);

// Prints the message with the place of the thread that runs, and aborts.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// The running thread waits at `instruction` for the others of `mask` (of the warp), of its warpgroup or of the block;
// threads that have ended are not waited for. True for one of them, which carries the instruction out while the others
// wait, and then calls release().
bool arrive(Scope scope, const char* instruction, std::uint32_t mask, void* arguments);
// The threads for which the instruction at which the running one waits is carried out, by lane; nullptr where absent.
const std::vector<Thread*>& participants(Scope scope);
void release(Scope scope);

// `execute(lanes)` once, with every participant's arguments, by lane; nullptr where there is none.
template <typename Arguments, typename Execute>
void together(Scope scope, const char* instruction, std::uint32_t mask, Arguments& mine, Execute execute) {
  if (!arrive(scope, instruction, mask, &mine)) return;
  std::vector<Arguments*> lanes;
  for (Thread* thread : participants(scope)) {
    lanes.push_back(thread == nullptr ? nullptr : static_cast<Arguments*>(thread->arguments));
  }
  execute(lanes);
  release(scope);
}

void barrier(Scope scope, const char* instruction, std::uint32_t mask = ~0U);

// For wgmma, on 16 bytes of dynamic shared memory: whether cp.async wrote them without a fence since; that they are
// read until `group` is waited for; and that nothing wrote to what the groups now complete read.
bool awaits_fence(const std::byte* memory);
void keep_operand(std::byte* memory, std::size_t group);
void check_operands(std::size_t groups_complete);

// Shared memory. Dynamic memory has addresses below 256 KiB, as matrix descriptors need; __shared__ variables lie
// above.
std::byte* dynamic_memory();
std::uint32_t address_of(const void* pointer);
// The `bytes` at a shared address, which must be the block's and aligned to `alignment`.
std::byte* shared_bytes(std::uint32_t address, std::size_t bytes, std::size_t alignment, const char* instruction);

// cp.async
void copy_async(std::uint32_t to, const void* from, bool valid);
void copy_async_commit();
void copy_async_wait(std::size_t pending);
void fence_async_shared();

// wgmma: d += a · b for one k16 step; d has 64 x n sums in the layout of the instruction's fragments.
void multiply_warpgroup(unsigned n, float* d, const std::uint32_t* a, std::uint64_t a_descriptor,
                        std::uint64_t b_descriptor, bool accumulate);
void warpgroup_arrive();
void warpgroup_commit();
void warpgroup_wait(std::size_t pending);

}  // namespace compute::cuda::emulation
