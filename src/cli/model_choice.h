// Which model a command works with.
#pragma once

#include "cli/command_line.h"
#include "compute/compute.h"
#include "gguf/gguf.h"

namespace cli {

// The file after --model, else that in $SMOLLM3_MODEL, else the newest *.gguf below $XDG_DATA_HOME/smollm3 (or
// ~/.local/share/smollm3), else the demo model inside the program. Throws base::Error if there is none, or the one
// chosen cannot be opened: a model that was named is never replaced by another.
gguf::File open_model(const Globals& globals);

// Says on standard error which model it is, unless it was named by --model or --quiet is given.
void announce_model(const Globals& globals, const gguf::File& file);

// How prompts are computed: as fast as the device can, unless --exact was given.
compute::Precision prompt_precision(const Globals& globals, const compute::Device& device);

}  // namespace cli
