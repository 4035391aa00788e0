#include "cli/data_folder.h"

#include <cstdlib>

namespace cli {
namespace {

namespace fs = std::filesystem;

fs::path environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

}  // namespace

// Relative paths in XDG variables are to be ignored (XDG Base Directory Specification).
fs::path data_folder() {
  if (const fs::path data = environment("XDG_DATA_HOME"); data.is_absolute()) return data / "smollm3";
  if (const fs::path home = environment("HOME"); !home.empty()) return home / ".local" / "share" / "smollm3";
  return {};
}

}  // namespace cli
