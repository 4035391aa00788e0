// `smollm3 template`: the prompt that a conversation becomes.
#pragma once

#include "cli/command_line.h"

namespace cli {

void add_template(CommandLine& line);

}  // namespace cli
