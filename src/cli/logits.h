// `smollm3 logits`: what the model makes of given tokens, for comparison with other implementations.
#pragma once

#include "cli/command_line.h"

namespace cli {

void add_logits(CommandLine& line);

}  // namespace cli
