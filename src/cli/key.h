// `smollm3 key`: API keys of accounts.
#pragma once

#include "cli/command_line.h"

namespace cli {

void add_key(CommandLine& line);

}  // namespace cli
