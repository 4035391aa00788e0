// What people feel of the engine: many askers at once, measured from outside, with sampling.
#pragma once

#include <cstdint>
#include <vector>

#include "cli/command_line.h"

namespace cli {

struct EngineBenchOptions {
  std::vector<std::uint32_t> askers = {1, 16};
  std::uint32_t prompt = 512;        // tokens of each asker's prompt
  std::uint32_t generated = 128;     // of each answer
  std::uint32_t long_prompt = 2048;  // that joins four who write
  std::uint32_t step_ms = 250;
};

// With `json` the report is one object on standard output.
int bench_engine(const EngineBenchOptions& options, bool json, const Globals& globals);

}  // namespace cli
