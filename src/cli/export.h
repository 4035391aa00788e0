// `smollm3 export`: conversations as Markdown or JSON.
#pragma once

#include "cli/command_line.h"

namespace cli {

void add_export(CommandLine& line);

}  // namespace cli
