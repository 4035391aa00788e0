// A file mapped read-only into memory. The pages stay the kernel's: file-backed, shared between processes, evictable.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace base {

class MappedFile {
 public:
  // Throws Error if the file cannot be opened, is not a regular file, or is empty.
  static MappedFile open(const std::filesystem::path& path);

  MappedFile() = default;
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

// A file that is cut short while mapped makes its lost pages raise SIGBUS. After this call such a fault inside any
// MappedFile prints one line naming the cause and ends the process with exit code 1, instead of a core dump.
void report_vanished_pages();

}  // namespace base
