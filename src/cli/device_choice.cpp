#include "cli/device_choice.h"

#include <unistd.h>

#include <utility>

#include "base/resources.h"
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

std::unique_ptr<compute::Device> choose_device(const Globals& globals) {
  const int threads = globals.threads > 0 ? globals.threads : base::usable_processors();
  compute::ChosenDevice chosen = compute::make_device(device_kind(globals), threads);
  say_device_note(globals, chosen.note);
  return std::move(chosen.device);
}

void say_device_note(const Globals& globals, const std::string& note) {
  if (!note.empty() && !globals.quiet) write_error(dim(STDERR_FILENO, note) + "\n");
}

}  // namespace cli
