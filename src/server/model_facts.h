// What the server tells of the model that it serves. A copy, so that nobody has to hold the engine for it.
#pragma once

#include <cstdint>
#include <string>

#include "engine/fingerprint.h"

namespace server {

struct ModelFacts {
  std::string name{};
  std::string file{};  // absolute path of its first file; empty: it is inside the program
  std::string device{};
  std::string mode{};              // "exact" or "fast", as of engine::Engine::mode
  std::uint32_t context = 0;       // positions that one conversation may have
  std::uint64_t kv_positions = 0;  // that all together may have in memory
  int threads = 0;
  engine::Fingerprint fingerprint{};
};

// The small model that comes with the program, which can do less.
inline bool is_demo(const ModelFacts& facts) {
  return facts.name.find("demo") != std::string::npos || facts.name.find("Demo") != std::string::npos;
}

}  // namespace server
