// `smollm3 serve`: the web chat and the HTTP API.
#pragma once

#include "cli/command_line.h"

namespace cli {

void add_serve(CommandLine& line);

}  // namespace cli
