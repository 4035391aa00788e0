#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "base/error.h"

namespace base {
namespace {

// The live mappings, readable from a signal handler: hence no lock and no allocation.
struct Range {
  std::atomic<std::uintptr_t> begin{0};
  std::atomic<std::uintptr_t> end{0};
};
Range live_mappings[64];

void remember(std::span<const std::byte> bytes) {
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  for (Range& range : live_mappings) {
    std::uintptr_t free_slot = 0;
    if (range.begin.compare_exchange_strong(free_slot, begin)) {
      range.end = begin + bytes.size();
      return;
    }
  }
}

void forget(std::span<const std::byte> bytes) {
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  for (Range& range : live_mappings) {
    if (range.begin == begin) {
      range.end = 0;
      range.begin = 0;
      return;
    }
  }
}

void on_sigbus(int, siginfo_t* info, void*) {
  const auto at = reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (const Range& range : live_mappings) {
    if (at >= range.begin && at < range.end) {
      constexpr char message[] =
          "smollm3: model file: it was cut short or became unreadable while in use; restore the file and start again\n";
      [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, message, sizeof message - 1);
      _exit(1);
    }
  }
  signal(SIGBUS, SIG_DFL);
  raise(SIGBUS);
}

struct Descriptor {
  int fd;
  ~Descriptor() { close(fd); }
};

}  // namespace

MappedFile MappedFile::open(const std::filesystem::path& path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) {
    throw Error(kind_of_errno(errno), path.string(), std::strerror(errno), "check the path and its permissions");
  }
  struct stat status {};
  if (fstat(file.fd, &status) != 0) throw Error(ErrorKind::Resource, path.string(), std::strerror(errno));
  if (!S_ISREG(status.st_mode)) throw Error(path.string(), "is not a regular file", "name a GGUF file");
  if (status.st_size == 0) throw Error(path.string(), "is empty", "name a GGUF file");
  const auto size = static_cast<std::size_t>(status.st_size);
  void* address = mmap(nullptr, size, PROT_READ, MAP_SHARED, file.fd, 0);
  if (address == MAP_FAILED) {
    throw Error(ErrorKind::Resource, path.string(), std::string("cannot be mapped: ") + std::strerror(errno));
  }
  // Pages of 2 MB, where the file system has them, cost far fewer translations of addresses.
  madvise(address, size, MADV_HUGEPAGE);
  MappedFile mapped;
  mapped.bytes_ = {static_cast<const std::byte*>(address), size};
  remember(mapped.bytes_);
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (bytes_.empty()) return;
  forget(bytes_);
  munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void report_vanished_pages() {
  struct sigaction action {};
  action.sa_sigaction = on_sigbus;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace base
