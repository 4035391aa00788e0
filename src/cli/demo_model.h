// The small model inside the program, so that it answers without any file beside it.
#pragma once

#include <cstddef>
#include <span>

namespace cli {

// A GGUF file, aligned to 64 bytes; empty if the program was built without it (models/demo.gguf was missing).
std::span<const std::byte> demo_model();

}  // namespace cli
