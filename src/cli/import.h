// `smollm3 import`: conversations from a file of this program, of ChatGPT or of Open WebUI.
#pragma once

#include "cli/command_line.h"

namespace cli {

void add_import(CommandLine& line);

}  // namespace cli
