// `smollm3 perplexity`: how well a model foresees a text.
#pragma once

#include "cli/command_line.h"

namespace cli {

void add_perplexity(CommandLine& line);

}  // namespace cli
