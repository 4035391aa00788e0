// `smollm3 backup` and `smollm3 restore`: all that is kept, in one file, and back.
#pragma once

#include "cli/command_line.h"

namespace cli {

void add_backup(CommandLine& line);
void add_restore(CommandLine& line);

}  // namespace cli
