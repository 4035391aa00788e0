#include "base/resources.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

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

// Whether a list as in "cpu,cpuacct" has the name.
bool lists(const std::string& list, const std::string& name) {
  return ("," + list + ",").find("," + name + ",") != std::string::npos;
}

// The folders of the process's control group and of every one above it, whose limits hold too: in version 1 those of a
// controller, in version 2, where there is one hierarchy for all, those of "".
std::vector<fs::path> control_groups(const fs::path& root, const std::string& controller) {
  std::vector<fs::path> folders;
  std::ifstream groups(root / "proc/self/cgroup");
  std::string line;  // "0::/path" in version 2, "5:memory:/path" or "4:cpu,cpuacct:/path" in version 1
  while (std::getline(groups, line)) {
    const std::size_t list_at = line.find(':') + 1;
    const std::size_t list_end = line.find(':', list_at);
    if (list_at == 0 || list_end == std::string::npos) continue;
    const std::string list = line.substr(list_at, list_end - list_at);
    if (controller.empty() ? !line.starts_with("0::") : !lists(list, controller)) continue;
    // A hierarchy of several controllers is mounted under their list, and often under each one's name too.
    std::vector<fs::path> tops = {root / "sys/fs/cgroup" / controller};
    if (list != controller) tops.push_back(root / "sys/fs/cgroup" / list);
    for (const fs::path& top : tops) {
      fs::path group = fs::path(line.substr(list_end + 1)).relative_path();
      for (; !group.empty(); group = group.parent_path()) folders.push_back(top / group);
      folders.push_back(top);
    }
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

// Microseconds of processor time in each period, as processors, rounded up.
std::optional<int> processors(double time, double period) {
  if (time <= 0 || period <= 0) return std::nullopt;  // -1 stands for no limit
  return static_cast<int>(std::ceil(time / period));
}

// Version 2 has both in one file, "max 100000" or "150000 100000".
std::optional<int> quota(const fs::path& group) {
  std::ifstream file(group / "cpu.max");
  double time = 0;
  double period = 0;
  if (!(file >> time >> period)) return std::nullopt;
  return processors(time, period);
}

std::optional<int> quota_of_version_1(const fs::path& group) {
  std::ifstream time_file(group / "cpu.cfs_quota_us");
  std::ifstream period_file(group / "cpu.cfs_period_us");
  double time = 0;
  double period = 0;
  if (!(time_file >> time) || !(period_file >> period)) return std::nullopt;
  return processors(time, period);
}

// What may still be reserved, whether or not it is touched: of the process's address space (ulimit -v), and of the
// machine's memory where the kernel promises no more than it has.
std::uint64_t reservable_memory(const fs::path& root) {
  std::uint64_t left = std::numeric_limits<std::uint64_t>::max();
  if (read_number(root / "proc/sys/vm/overcommit_memory") == 2) {
    const std::uint64_t most = read_key(root / "proc/meminfo", "CommitLimit:");
    const std::uint64_t used = read_key(root / "proc/meminfo", "Committed_AS:");
    left = most > used ? (most - used) * 1024 : 0;
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return left;
  const auto pages = read_number(root / "proc/self/statm");  // the first of its numbers: all that is mapped
  const std::uint64_t used = pages.value_or(0) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  return std::min<std::uint64_t>(left, limit.rlim_cur > used ? limit.rlim_cur - used : 0);
}

}  // namespace

std::uint64_t available_memory(const fs::path& root) {
  std::uint64_t available = read_key(root / "proc/meminfo", "MemAvailable:") * 1024;
  if (available == 0) available = std::numeric_limits<std::uint64_t>::max();
  for (const fs::path& group : control_groups(root, "")) {
    available = std::min(available, room(group, "memory.max", "memory.current"));
  }
  for (const fs::path& group : control_groups(root, "memory")) {
    available = std::min(available, room(group, "memory.limit_in_bytes", "memory.usage_in_bytes"));
  }
  return std::min(available, reservable_memory(root));
}

int usable_processors(const fs::path& root) {
  int count = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
  for (const fs::path& group : control_groups(root, "")) count = std::min(count, quota(group).value_or(count));
  for (const fs::path& group : control_groups(root, "cpu")) {
    count = std::min(count, quota_of_version_1(group).value_or(count));
  }
  return std::max(count, 1);
}

}  // namespace base
