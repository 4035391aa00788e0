#include "compute/cuda/emulation/machine.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

// The linker's names for the section of __shared__ variables; absent where a program has none.
extern "C" {
extern std::byte __start_emulated_shared[] __attribute__((weak));
extern std::byte __stop_emulated_shared[] __attribute__((weak));
}

namespace compute::cuda::emulation {

uint3 block_index{0, 0, 0};
dim3 block_size;
dim3 grid_size;

namespace {

constexpr std::size_t dynamic_capacity = 227 * 1024;    // a block's on the NVIDIA H200
constexpr std::uint32_t static_addresses = 256 * 1024;  // where those of __shared__ variables begin
constexpr int poison = 0xFF;
constexpr std::size_t chunk_bytes = 16;

// Memory with a page behind it that cannot be touched.
std::byte* map_guarded(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* memory = mmap(nullptr, bytes + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  std::byte* inside = static_cast<std::byte*>(memory) + page;
  if (mprotect(inside, bytes, PROT_READ | PROT_WRITE) != 0) std::abort();
  return inside;
}

struct Machine {
  std::byte* arena = map_guarded(static_addresses);  // dynamic shared memory lies at its end
  std::size_t dynamic_bytes = 0;
  std::byte* dynamic_start = nullptr;
  std::vector<unsigned> unfenced =
      std::vector<unsigned>(static_addresses / chunk_bytes);  // by chunk: writer's number + 1

  std::vector<Thread> threads;
  std::vector<std::byte*> stacks;  // kept from block to block
  std::size_t count = 0;           // of the block's threads
  std::size_t alive = 0;
  std::size_t waiting_in_block = 0;
  Thread* current = nullptr;
  Stack scheduler;
  std::vector<Thread*> participants;
  const std::function<void()>* kernel = nullptr;
  std::size_t blocks_run = 0;

  // What products under way read: it must stay as it is until they are waited for.
  struct Operand {
    std::byte* memory;
    std::array<std::byte, chunk_bytes> copy;
    unsigned warpgroup;
    std::size_t group;
  };
  std::vector<Operand> operands;
};

Machine& machine() {
  static Machine instance;
  return instance;
}

bool same(const char* a, const char* b) { return a == b || std::strcmp(a, b) == 0; }

std::size_t static_bytes() { return static_cast<std::size_t>(__stop_emulated_shared - __start_emulated_shared); }

// The threads that carry out the instruction at which `thread` waits; empty while one of them is still to come.
bool complete(Scope scope, const Thread& thread) {
  Machine& m = machine();
  if (scope == Scope::block) return m.waiting_in_block == m.alive;
  const std::size_t lanes = scope == Scope::warp ? warp_lanes : warpgroup_threads;
  const std::size_t first = thread.number / lanes * lanes;
  for (std::size_t i = std::min(first + lanes, m.count); i-- > first;) {
    const Thread& other = m.threads[i];
    if (scope == Scope::warp && (thread.mask >> (i - first) & 1) == 0) continue;
    if (other.ended) continue;
    if (other.waits_at == nullptr || other.mask != thread.mask || !same(other.waits_at, thread.waits_at)) return false;
  }
  return true;
}

void give_way() {
  Machine& m = machine();
  Thread& self = *m.current;
  m.current = nullptr;
  switch_stack(self.stack, m.scheduler, false);
}

// Whether `thread` waits for `other` among others.
bool waits_for(const Thread& thread, const Thread& other) {
  if (thread.ended || thread.waits_at == nullptr) return false;
  switch (thread.scope) {
    case Scope::warp:
      return thread.number / warp_lanes == other.number / warp_lanes &&
             (thread.mask >> other.number % warp_lanes & 1) != 0;
    case Scope::warpgroup:
      return thread.number / warpgroup_threads == other.number / warpgroup_threads;
    case Scope::block:
      return true;
  }
  std::abort();
}

// Others may have waited for this thread alone: then one of them carries out their instruction.
void end_thread(Thread& thread) {
  Machine& m = machine();
  thread.ended = true;
  --m.alive;
  const Thread* woken = nullptr;
  for (std::size_t i = 0; i < m.count; ++i) {
    Thread& other = m.threads[i];
    if (!waits_for(other, thread) || !complete(other.scope, other)) continue;
    if (woken != nullptr && woken->scope == other.scope && woken->mask == other.mask &&
        same(woken->waits_at, other.waits_at))
      continue;
    other.executes = true;
    woken = &other;
  }
}

void thread_main() {
  Machine& m = machine();
  enter_stack();
  (*m.kernel)();
  Thread& self = *m.current;
  if (!self.sums.empty()) fail("the thread ends with products of its warpgroup under way");
  end_thread(self);
  m.current = nullptr;
  switch_stack(self.stack, m.scheduler, true);
  std::abort();
}

std::string describe_waiting() {
  const Machine& m = machine();
  std::string text;
  for (std::size_t i = 0; i < m.count;) {
    std::size_t end = i + 1;
    const auto place = [&](std::size_t j) {
      const Thread& thread = m.threads[j];
      if (thread.ended) return std::string("ended");
      char mask[40] = "";
      if (thread.scope == Scope::warp) std::snprintf(mask, sizeof mask, " with mask 0x%08x", thread.mask);
      return "wait at " + std::string(thread.waits_at) + mask;
    };
    while (end < m.count && place(end) == place(i)) ++end;
    text += "\n  threads " + std::to_string(i) + " to " + std::to_string(end - 1) + ": " + place(i);
    i = end;
  }
  return text;
}

void run_block(dim3 block) {
  Machine& m = machine();
  std::memset(m.dynamic_start, poison, static_cast<std::size_t>(m.arena + static_addresses - m.dynamic_start));
  if (static_bytes() != 0) std::memset(__start_emulated_shared, poison, static_bytes());
  std::fill(m.unfenced.begin(), m.unfenced.end(), 0U);
  m.operands.clear();
  m.waiting_in_block = 0;
  m.alive = m.count;
  m.threads.assign(m.count, Thread{});
  for (unsigned i = 0; i < m.count; ++i) {
    Thread& thread = m.threads[i];
    thread.number = i;
    thread.index = {i % block.x, i / block.x % block.y, i / block.x / block.y};
    thread.stack = prepare_stack(m.stacks[i], thread_main);
  }
  // In every other block the threads take their turns from the last to the first, so that a missing barrier shows
  // whichever way data goes; in two of four a warp goes on until it waits for others.
  const unsigned order = m.blocks_run++ % 4;
  const bool backwards = order % 2 != 0;
  const bool by_warps = order >= 2;
  const std::size_t turn = by_warps ? warp_lanes : m.count;  // threads that take turns with each other
  while (m.alive != 0) {
    bool progress = false;
    for (std::size_t first = 0; first < m.count; first += turn) {
      for (bool more = true; more;) {
        more = false;
        for (std::size_t i = first; i < std::min(first + turn, m.count); ++i) {
          Thread& thread = m.threads[backwards ? m.count - 1 - i : i];
          if (thread.ended || (thread.waits_at != nullptr && !thread.executes)) continue;
          m.current = &thread;
          switch_stack(m.scheduler, thread.stack, false);
          more = by_warps;
          progress = true;
        }
      }
    }
    if (!progress) fail("threads wait for each other for ever:%s", describe_waiting().c_str());
  }
}

}  // namespace

Thread& current_thread() { return *machine().current; }

void fail(const char* format, ...) {
  std::fprintf(stderr, "emulated kernel");
  if (machine().kernel != nullptr) {
    std::fprintf(stderr, ", block (%u, %u, %u)", block_index.x, block_index.y, block_index.z);
  }
  if (const Thread* thread = machine().current) {
    std::fprintf(stderr, ", thread (%u, %u, %u)", thread->index.x, thread->index.y, thread->index.z);
  }
  std::fprintf(stderr, ": ");
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fprintf(stderr, "\n");
  std::abort();
}

void run_grid(dim3 grid, dim3 block, std::size_t shared, const std::function<void()>& kernel) {
  Machine& m = machine();
  if (m.kernel != nullptr) fail("a kernel is launched by a kernel");
  const std::size_t threads = std::size_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024) fail("a block of %zu threads", threads);
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535) {
    fail("a grid of %u x %u x %u blocks", grid.x, grid.y, grid.z);
  }
  if (shared > dynamic_capacity) fail("%zu bytes of shared memory; a block can have %zu", shared, dynamic_capacity);
  m.kernel = &kernel;
  m.count = threads;
  m.dynamic_bytes = shared;
  m.dynamic_start = m.arena + static_addresses - (shared + 1023) / 1024 * 1024;
  while (m.stacks.size() < threads) m.stacks.push_back(map_guarded(stack_bytes));
  block_size = block;
  grid_size = grid;
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        block_index = {x, y, z};
        run_block(block);
      }
    }
  }
  m.kernel = nullptr;
}

bool arrive(Scope scope, const char* instruction, std::uint32_t mask, void* arguments) {
  Machine& m = machine();
  Thread& self = *m.current;
  if (scope == Scope::warp && (mask >> self.number % warp_lanes & 1) == 0) {
    fail("%s with mask 0x%08x, in which lane %u is not", instruction, mask, self.number % warp_lanes);
  }
  if (scope == Scope::warpgroup && self.number / warpgroup_threads * warpgroup_threads + warpgroup_threads > m.count) {
    fail("%s in a warpgroup of less than 128 threads", instruction);
  }
  self.scope = scope;
  self.waits_at = instruction;
  self.mask = mask;
  self.arguments = arguments;
  if (scope == Scope::block) ++m.waiting_in_block;
  if (!complete(scope, self)) {
    give_way();
    if (!self.executes) return false;
  }
  self.executes = false;
  return true;
}

const std::vector<Thread*>& participants(Scope scope) {
  Machine& m = machine();
  const Thread& self = *m.current;
  const std::size_t lanes = scope == Scope::warp ? warp_lanes : scope == Scope::warpgroup ? warpgroup_threads : m.count;
  const std::size_t first = self.number / lanes * lanes;
  m.participants.assign(lanes, nullptr);
  for (std::size_t i = 0; i < lanes && first + i < m.count; ++i) {
    Thread& thread = m.threads[first + i];
    if (thread.ended || (scope == Scope::warp && (self.mask >> i & 1) == 0)) continue;
    if (!same(thread.waits_at, self.waits_at)) {
      fail("threads of a block wait at different barriers:%s", describe_waiting().c_str());
    }
    m.participants[i] = &thread;
  }
  return m.participants;
}

void release(Scope scope) {
  Machine& m = machine();
  for (Thread* thread : participants(scope)) {
    if (thread == nullptr) continue;
    if (scope == Scope::block) --m.waiting_in_block;
    thread->arguments = nullptr;
  }
  for (Thread* thread : m.participants) {
    if (thread != nullptr) thread->waits_at = nullptr;
  }
}

void barrier(Scope scope, const char* instruction, std::uint32_t mask) {
  if (arrive(scope, instruction, mask, nullptr)) release(scope);
}

std::byte* dynamic_memory() { return machine().dynamic_start; }

std::uint32_t address_of(const void* pointer) {
  const Machine& m = machine();
  const auto* byte = static_cast<const std::byte*>(pointer);
  if (byte >= m.dynamic_start && byte <= m.dynamic_start + m.dynamic_bytes) {
    return static_cast<std::uint32_t>(byte - m.arena);
  }
  if (byte >= __start_emulated_shared && byte <= __stop_emulated_shared) {
    return static_cast<std::uint32_t>(byte - __start_emulated_shared) + static_addresses;
  }
  fail("shared_address() of something that is not in the block's shared memory");
}

std::byte* shared_bytes(std::uint32_t address, std::size_t bytes, std::size_t alignment, const char* instruction) {
  const Machine& m = machine();
  if (address % alignment != 0) fail("%s: shared address 0x%x is not aligned to %zu", instruction, address, alignment);
  if (address >= static_addresses) {
    if (address - static_addresses + bytes <= static_bytes())
      return __start_emulated_shared + (address - static_addresses);
  } else if (m.arena + address >= m.dynamic_start && m.arena + address + bytes <= m.dynamic_start + m.dynamic_bytes) {
    return m.arena + address;
  }
  fail("%s: shared address 0x%x is outside the block's shared memory (%zu bytes from 0x%x)", instruction, address,
       m.dynamic_bytes, static_cast<unsigned>(m.dynamic_start - m.arena));
}

void copy_async(std::uint32_t to, const void* from, bool valid) {
  Machine& m = machine();
  if (reinterpret_cast<std::uintptr_t>(from) % 16 != 0) fail("cp.async: a global address is not aligned to 16");
  std::byte* memory = shared_bytes(to, 16, 16, "cp.async");
  for (const Machine::Operand& operand : m.operands) {
    if (operand.memory == memory) fail("cp.async overwrites what a wgmma that was not waited for reads");
  }
  // Data that is used before it is waited for shows.
  std::memset(memory, poison, 16);
  m.current->copies.push_back({memory, valid ? static_cast<const std::byte*>(from) : nullptr});
}

void copy_async_commit() {
  Thread& self = current_thread();
  self.groups.push_back(std::move(self.copies));
  self.copies.clear();
}

void copy_async_wait(std::size_t pending) {
  Machine& m = machine();
  Thread& self = *m.current;
  while (self.groups.size() > pending) {
    for (const Copy& copy : self.groups.front()) {
      if (copy.from == nullptr) {
        std::memset(copy.to, 0, 16);
      } else {
        std::memcpy(copy.to, copy.from, 16);
      }
      if (copy.to < m.dynamic_start || copy.to >= m.arena + static_addresses) continue;
      const auto chunk = static_cast<std::size_t>(copy.to - m.arena) / chunk_bytes;
      m.unfenced[chunk] = self.number + 1;
      self.unfenced.push_back(chunk);
    }
    self.groups.erase(self.groups.begin());
  }
}

void fence_async_shared() {
  Machine& m = machine();
  Thread& self = *m.current;
  for (const std::size_t chunk : self.unfenced) {
    if (m.unfenced[chunk] == self.number + 1) m.unfenced[chunk] = 0;
  }
  self.unfenced.clear();
}

bool awaits_fence(const std::byte* memory) {
  const Machine& m = machine();
  return m.unfenced[static_cast<std::size_t>(memory - m.arena) / chunk_bytes] != 0;
}

void keep_operand(std::byte* memory, std::size_t group) {
  Machine& m = machine();
  Machine::Operand operand{memory, {}, m.current->number / warpgroup_threads, group};
  std::memcpy(operand.copy.data(), memory, chunk_bytes);
  m.operands.push_back(operand);
}

void check_operands(std::size_t groups_complete) {
  Machine& m = machine();
  const unsigned warpgroup = m.current->number / warpgroup_threads;
  std::erase_if(m.operands, [&](const Machine::Operand& operand) {
    if (operand.warpgroup != warpgroup || operand.group >= groups_complete) return false;
    if (std::memcmp(operand.memory, operand.copy.data(), operand.copy.size()) != 0) {
      fail("shared memory that wgmma reads was changed before warpgroup_wait");
    }
    return true;
  });
}

}  // namespace compute::cuda::emulation
