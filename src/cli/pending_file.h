// A file that takes its name only when it is complete: until then it lies beside, under a hidden name of its own.
#pragma once

#include <filesystem>

namespace cli {

class PendingFile {
 public:
  // Throws base::Error if `target` exists and is no regular file.
  explicit PendingFile(const std::filesystem::path& target);
  // Removes what was written, unless commit() succeeded.
  ~PendingFile();
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;

  const std::filesystem::path& path() const { return path_; }  // where to write

  // Sees that the file is on the disk and gives it its name, in place of a file that had it. Throws base::Error.
  void commit();

 private:
  std::filesystem::path target_;
  std::filesystem::path path_;
  bool committed_ = false;
};

}  // namespace cli
