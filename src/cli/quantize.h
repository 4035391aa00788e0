// `smollm3 quantize`: a file of floats becomes one of blocks.
#pragma once

#include "cli/command_line.h"

namespace cli {

void add_quantize(CommandLine& line);

}  // namespace cli
