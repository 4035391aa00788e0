#include "base/resources.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <thread>
#include <vector>

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

enum class Hierarchy { V2, V1Memory };

// The folders of the process's control group and of every one above it, whose limits hold too.
std::vector<fs::path> control_groups(const fs::path& root, Hierarchy hierarchy) {
  std::vector<fs::path> folders;
  std::ifstream groups(root / "proc/self/cgroup");
  std::string line;  // "0::/path" in version 2, "5:memory:/path" in version 1
  while (std::getline(groups, line)) {
    const std::size_t path_at = line.rfind(':');
    if (path_at == std::string::npos) continue;
    const bool v2 = line.starts_with("0::");
    if (hierarchy == Hierarchy::V2 ? !v2 : line.find(":memory:") == std::string::npos) continue;
    const fs::path top = root / (v2 ? "sys/fs/cgroup" : "sys/fs/cgroup/memory");
    fs::path group = fs::path(line.substr(path_at + 1)).relative_path();
    for (; !group.empty(); group = group.parent_path()) folders.push_back(top / group);
    folders.push_back(top);
  }
  return folders;
}

// What is left below one group's limit; the largest number without one.
std::uint64_t room(const fs::path& group, const char* limit, const char* usage) {
  const auto most = read_number(group / limit);
  const auto used = read_number(group / usage);
  if (!most || !used) return std::numeric_limits<std::uint64_t>::max();
  const fs::path stat = group / "memory.stat";
  const std::uint64_t files = std::min(read_key(stat, "inactive_file ") + read_key(stat, "active_file "), *used);
  const std::uint64_t held = *used - files;
  return *most > held ? *most - held : 0;
}

// From "max 100000" or "150000 100000", microseconds of processor time in each period: processors, rounded up.
std::optional<int> quota(const fs::path& path) {
  std::ifstream file(path);
  double time = 0;
  double period = 0;
  if (!(file >> time >> period) || period <= 0) return std::nullopt;
  return static_cast<int>(std::ceil(time / period));
}

}  // namespace

std::uint64_t available_memory(const fs::path& root) {
  std::uint64_t available = read_key(root / "proc/meminfo", "MemAvailable:") * 1024;
  if (available == 0) available = std::numeric_limits<std::uint64_t>::max();
  for (const fs::path& group : control_groups(root, Hierarchy::V2)) {
    available = std::min(available, room(group, "memory.max", "memory.current"));
  }
  for (const fs::path& group : control_groups(root, Hierarchy::V1Memory)) {
    available = std::min(available, room(group, "memory.limit_in_bytes", "memory.usage_in_bytes"));
  }
  return available;
}

int usable_processors(const fs::path& root) {
  int count = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
  for (const fs::path& group : control_groups(root, Hierarchy::V2)) {
    count = std::min(count, quota(group / "cpu.max").value_or(count));
  }
  return std::max(count, 1);
}

}  // namespace base
