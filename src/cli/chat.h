// `smollm3 chat`: a conversation in the terminal, or line by line through a pipe.
#pragma once

#include "cli/command_line.h"

namespace cli {

void add_chat(CommandLine& line);

}  // namespace cli
