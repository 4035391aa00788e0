// `smollm3 inspect FILE`: what a GGUF file holds.
#pragma once

#include "cli/command_line.h"

namespace cli {

void add_inspect(CommandLine& line);

}  // namespace cli
