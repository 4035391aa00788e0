// What the engine remembers: how much is computed again where conversations go on, are answered anew, or begin alike.
#pragma once

#include <cstdint>

#include "cli/command_line.h"

namespace cli {

struct MemoryBenchOptions {
  std::uint32_t turn = 4000;         // tokens of a first turn, answer included
  std::uint32_t regenerated = 2000;  // tokens of a prompt that is answered eight times
  std::uint32_t conversations = 64;  // that begin alike, with a third of the memory that they would take alone
  std::uint32_t prompt = 1000;       // tokens of each one's prompt
  std::uint32_t system = 800;        // of them, that are the same
  std::uint32_t generated = 32;      // tokens of each answer
};

// With `json` the report is one object on standard output. Throws base::Error (Internal) if an answer is not what it is
// without all this.
int bench_memory(const MemoryBenchOptions& options, bool json, const Globals& globals);

}  // namespace cli
