// `smollm3 run`: one prompt, one answer.
#pragma once

#include "cli/command_line.h"

namespace cli {

void add_run(CommandLine& line);

}  // namespace cli
