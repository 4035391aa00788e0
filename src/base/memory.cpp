#include "base/memory.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace base {
namespace {

namespace fs = std::filesystem;

std::optional<std::uint64_t> read_number(const fs::path& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  if (!(file >> value)) return std::nullopt;  // absent, or "max"
  return value;
}

// Value of `key` in a file of "key value" lines, as /proc/meminfo and memory.stat have them.
std::uint64_t read_key(const fs::path& path, const std::string& key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.compare(0, key.size(), key) == 0) return std::strtoull(line.c_str() + key.size(), nullptr, 10);
  }
  return 0;
}

// Room below one cgroup's limit; pages of files count as free, since the kernel drops them first.
void apply_limit(const fs::path& limit, const fs::path& usage, const fs::path& stat, std::uint64_t& available) {
  const auto most = read_number(limit);
  const auto used = read_number(usage);
  if (!most || !used) return;
  const std::uint64_t files = std::min(read_key(stat, "inactive_file ") + read_key(stat, "active_file "), *used);
  const std::uint64_t held = *used - files;
  available = std::min(available, *most > held ? *most - held : 0);
}

}  // namespace

std::uint64_t available_memory() {
  std::uint64_t available = read_key("/proc/meminfo", "MemAvailable:") * 1024;
  if (available == 0) available = std::numeric_limits<std::uint64_t>::max();
  std::ifstream groups("/proc/self/cgroup");
  std::string line;
  while (std::getline(groups, line)) {
    const std::size_t path_at = line.rfind(':');
    if (path_at == std::string::npos) continue;
    const bool v2 = line.compare(0, 3, "0::") == 0;
    if (!v2 && line.find(":memory:") == std::string::npos) continue;
    const fs::path root = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    const char* limit = v2 ? "memory.max" : "memory.limit_in_bytes";
    const char* usage = v2 ? "memory.current" : "memory.usage_in_bytes";
    fs::path relative = fs::path(line.substr(path_at + 1)).relative_path();
    for (;; relative = relative.parent_path()) {  // every ancestor's limit holds too
      const fs::path group = root / relative;
      apply_limit(group / limit, group / usage, group / "memory.stat", available);
      if (relative.empty()) break;
    }
  }
  return available;
}

}  // namespace base
