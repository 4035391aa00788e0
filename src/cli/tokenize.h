// `smollm3 tokenize` and `smollm3 detokenize`: text to token ids, and back.
#pragma once

#include "cli/command_line.h"

namespace cli {

void add_tokenize(CommandLine& line);
void add_detokenize(CommandLine& line);

}  // namespace cli
