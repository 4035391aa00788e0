#include "cli/model_choice.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "base/error.h"
#include "cli/data_folder.h"
#include "cli/demo_model.h"
#include "cli/device_choice.h"
#include "cli/format.h"
#include "cli/output.h"
#include "gguf/split.h"

namespace cli {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::optional<fs::path> newest_model(const fs::path& folder) {
  std::optional<fs::path> newest;
  fs::file_time_type newest_time;
  std::error_code error;
  if (folder.empty()) return newest;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code failed;
    if (entry->path().extension() != ".gguf" || gguf::is_named_as_later_part(entry->path()) ||
        !entry->is_regular_file(failed))
      continue;
    const fs::file_time_type time = entry->last_write_time(failed);
    if (failed || (newest && time <= newest_time)) continue;
    newest = entry->path();
    newest_time = time;
  }
  return newest;
}

}  // namespace

gguf::File open_model(const Globals& globals) {
  if (!globals.model.empty()) return gguf::open_model(globals.model);
  if (const std::string named = environment("SMOLLM3_MODEL"); !named.empty()) return gguf::open_model(named);
  const fs::path folder = data_folder();
  if (const auto newest = newest_model(folder)) return gguf::open_model(*newest);
  if (demo_model().empty()) {
    throw base::Error("model", "none was named and this program was built without its demonstration model",
                      "name a GGUF file with --model, or put one into " + folder.string());
  }
  return gguf::File::parse(demo_model(), "demonstration model");
}

std::unique_ptr<engine::LoadedModel> load_model(const Globals& globals) {
  auto loaded = std::make_unique<engine::LoadedModel>(open_model(globals), device_kind(globals), globals.threads,
                                                      globals.context);
  announce_model(globals, loaded->file());
  say_device_note(globals, loaded->device_note());
  return loaded;
}

void announce_model(const Globals& globals, const gguf::File& file) {
  if (globals.quiet || !globals.model.empty()) return;
  const bool built_in = file.mapping().bytes().empty();
  std::string line = "model: " + printable(file.name());
  if (built_in) line += ", inside the program (--model FILE names another)";
  write_error(dim(STDERR_FILENO, line) + "\n");
}

}  // namespace cli
