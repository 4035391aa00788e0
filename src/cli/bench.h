// `smollm3 bench`: how fast a model runs, beside what the machine could do.
#pragma once

#include "cli/command_line.h"

namespace cli {

void add_bench(CommandLine& line);

}  // namespace cli
