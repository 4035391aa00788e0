// `smollm3 user`: accounts, for servers that others reach too.
#pragma once

#include "cli/command_line.h"

namespace cli {

void add_user(CommandLine& line);

}  // namespace cli
