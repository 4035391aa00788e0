// `smollm3 synth`: a random model of the real shape.
#pragma once

#include "cli/command_line.h"

namespace cli {

void add_synth(CommandLine& line);

}  // namespace cli
