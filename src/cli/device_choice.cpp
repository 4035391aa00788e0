#include "cli/device_choice.h"

#include <unistd.h>

#include "cli/output.h"

namespace cli {

compute::DeviceKind device_kind(const Globals& globals) {
  if (globals.device == "cuda") {
    if (globals.exact)
      throw UsageError("--exact: only the CPU gives the same bits on every machine, not --device cuda");
    return compute::DeviceKind::Cuda;
  }
  return globals.device == "cpu" || globals.exact ? compute::DeviceKind::Cpu : compute::DeviceKind::Auto;
}

void say_device_note(const Globals& globals, const std::string& note) {
  if (!note.empty() && !globals.quiet) write_error(dim(STDERR_FILENO, note) + "\n");
}

}  // namespace cli
