#include "base/resources.h"

#include <gtest/gtest.h>

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>

namespace base {
namespace {

namespace fs = std::filesystem;

// A /proc and a /sys of files.
class Resources : public testing::Test {
 protected:
  Resources() : root_(fs::path(testing::TempDir()) / ("resources-" + std::to_string(getpid()))) {
    fs::remove_all(root_);
    put("proc/meminfo", "MemTotal:  2000 kB\nMemAvailable:  1000 kB\n");
  }
  ~Resources() override { fs::remove_all(root_); }

  void put(const std::string& path, const std::string& content) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << content;
  }

  fs::path root_;
};

TEST_F(Resources, WithoutGroupsTheMachineIsTheLimit) {
  EXPECT_EQ(available_memory(root_), 1000 * 1024);
  EXPECT_GE(usable_processors(root_), 1);
  EXPECT_LE(usable_processors(root_), static_cast<int>(std::thread::hardware_concurrency()));
}

TEST_F(Resources, TheTightestGroupAboveIsTheLimit) {
  put("proc/self/cgroup", "0::/outer/inner\n");
  put("sys/fs/cgroup/outer/inner/memory.max", "max\n");
  put("sys/fs/cgroup/outer/inner/memory.current", "5000\n");
  EXPECT_EQ(available_memory(root_), 1000 * 1024);
  put("sys/fs/cgroup/outer/memory.max", "90000\n");
  put("sys/fs/cgroup/outer/memory.current", "50000\n");
  EXPECT_EQ(available_memory(root_), 40000);
  put("sys/fs/cgroup/outer/memory.stat", "anon 1\ninactive_file 1000\nactive_file 200\n");
  EXPECT_EQ(available_memory(root_), 41200);
  put("sys/fs/cgroup/outer/inner/memory.max", "4000\n");
  EXPECT_EQ(available_memory(root_), 0);
}

TEST_F(Resources, TheQuotaIsRoundedUp) {
  put("proc/self/cgroup", "0::/outer/inner\n");
  put("sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n");
  const int all = usable_processors(root_);
  put("sys/fs/cgroup/outer/cpu.max", "50000 100000\n");
  EXPECT_EQ(usable_processors(root_), 1);
  put("sys/fs/cgroup/outer/cpu.max", "150000 100000\n");
  EXPECT_EQ(usable_processors(root_), std::min(all, 2));
  put("sys/fs/cgroup/cpu.max", "1000 100000\n");
  EXPECT_EQ(usable_processors(root_), 1);
}

TEST_F(Resources, VersionOneOfGroupsCountsToo) {
  put("proc/self/cgroup", "4:cpu,cpuacct:/a\n5:memory:/a\n");
  put("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "3000\n");
  put("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "1000\n");
  EXPECT_EQ(available_memory(root_), 2000);
  const int all = usable_processors(root_);
  put("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
  put("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(usable_processors(root_), all);
  put("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "150000\n");
  EXPECT_EQ(usable_processors(root_), std::min(all, 2));
  put("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "100000\n");
  EXPECT_EQ(usable_processors(root_), 1);
}

TEST_F(Resources, AControllerOfVersionOneIsFoundByItsName) {
  put("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  put("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "50000\n");
  put("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
  put("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1\n");
  put("proc/self/cgroup", "4:cpuacct:/a\n5:cpuset:/a\n6:name=cpu:/a\n");
  const int all = usable_processors(root_);
  EXPECT_EQ(all, usable_processors(root_ / "none"));
  put("proc/self/cgroup", "4:cpu:/a\n");
  EXPECT_EQ(usable_processors(root_), all);
  put("proc/self/cgroup", "4:cpu,cpuacct:/a\n");
  EXPECT_EQ(usable_processors(root_), 1);
  put("proc/self/cgroup", "4:cpu,cpuacct:/elsewhere:a/b\n");
  put("sys/fs/cgroup/cpu,cpuacct/elsewhere:a/cpu.cfs_period_us", "50000\n");
  put("sys/fs/cgroup/cpu,cpuacct/elsewhere:a/cpu.cfs_quota_us", "1000\n");
  EXPECT_EQ(usable_processors(root_), 1);
  put("proc/self/cgroup", "7:hugetlb,memory:/a\n");
  put("sys/fs/cgroup/hugetlb,memory/a/memory.limit_in_bytes", "3000\n");
  put("sys/fs/cgroup/hugetlb,memory/a/memory.usage_in_bytes", "500\n");
  EXPECT_EQ(available_memory(root_), 2500);
}

TEST_F(Resources, WhereTheKernelPromisesOnlyWhatItHasThatIsTheLimit) {
  put("proc/meminfo", "MemAvailable:  1000 kB\nCommitLimit:  900 kB\nCommitted_AS:  400 kB\n");
  put("proc/sys/vm/overcommit_memory", "0\n");
  EXPECT_EQ(available_memory(root_), 1000 * 1024);
  put("proc/sys/vm/overcommit_memory", "2\n");
  EXPECT_EQ(available_memory(root_), 500 * 1024);
}

TEST_F(Resources, TheAddressSpaceThatIsLeftIsALimit) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  // So far above what anything takes that the test itself does not notice.
  const rlim_t most = rlim_t{1} << 46;
  if (before.rlim_max < most) GTEST_SKIP() << "the address space is limited already";
  const rlimit lower{most, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_AS, &lower), 0);
  const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  put("proc/self/statm", std::to_string(most / page - 3) + " 1 1 1 0 1 0\n");
  EXPECT_EQ(available_memory(root_), 3 * page);
  ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
}

}  // namespace
}  // namespace base
