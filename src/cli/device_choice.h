// What a command computes on.
#pragma once

#include <string>

#include "cli/command_line.h"
#include "compute/compute.h"

namespace cli {

// As --device and --exact say; --exact leaves only the CPU. Throws UsageError if the two contradict each other.
compute::DeviceKind device_kind(const Globals& globals);

// Says on standard error what compute::ChosenDevice or engine::Engine noted, unless --quiet is given or it is empty.
void say_device_note(const Globals& globals, const std::string& note);

}  // namespace cli
