// Which model a command works with.
#pragma once

#include "cli/command_line.h"
#include "engine/loaded_model.h"
#include "gguf/gguf.h"

namespace cli {

// The file after --model, else that in $SMOLLM3_MODEL, else the newest *.gguf below $XDG_DATA_HOME/smollm3 (or
// ~/.local/share/smollm3), else the demo model inside the program. Throws base::Error if there is none, or the one
// chosen cannot be opened: a model that was named is never replaced by another.
gguf::File open_model(const Globals& globals);

// The model that open_model() chooses, loaded on the device that --device and --exact choose; says which both are. For
// commands that measure it; those that talk have an engine (answer.h).
std::unique_ptr<engine::LoadedModel> load_model(const Globals& globals);

// Says on standard error which model it is, unless it was named by --model or --quiet is given.
void announce_model(const Globals& globals, const gguf::File& file);

}  // namespace cli
