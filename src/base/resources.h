// What the machine, and the control groups this process is in, let it use: memory and processors.
#pragma once

#include <cstdint>
#include <filesystem>

namespace base {

// `root`: the folder that /proc and /sys stand in; another one than "/" only in tests.

// Bytes this process could still take before the machine or its cgroup runs out: the smallest of MemAvailable, what is
// left of every cgroup limit above it, and what may be reserved (ulimit -v; the commit limit where the kernel does not
// overcommit). Pages of files count as free, since the kernel drops them first.
std::uint64_t available_memory(const std::filesystem::path& root = "/");

// Processors this process may use: its affinity mask and the CPU quota of every cgroup above it, in either version of
// cgroups, rounded up; at least 1.
int usable_processors(const std::filesystem::path& root = "/");

}  // namespace base
