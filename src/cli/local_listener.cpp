#include "cli/local_listener.h"

#include <filesystem>

#include "base/error.h"
#include "server/log.h"

namespace cli {
namespace {

namespace fs = std::filesystem;

// Sockets of databases have a folder of their own; conversations' own is there already.
void make_folder(const fs::path& folder) {
  std::error_code ignored;  // then the socket tells
  if (folder.empty() || fs::exists(folder, ignored)) return;
  fs::create_directories(folder, ignored);
  fs::permissions(folder, fs::perms::owner_all, ignored);
}

}  // namespace

LocalListener::LocalListener(const std::string& path) {
  if (path.empty()) return;
  try {
    make_folder(fs::path(path).parent_path());
    socket_.emplace(path);
  } catch (const base::Error& failure) {
    server::log_error(failure.what());
  }
}

}  // namespace cli
