#include "cli/pending_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/error.h"

namespace cli {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& target) {
  throw base::Error(base::kind_of_errno(errno), target.string(),
                    std::string("cannot be written: ") + std::strerror(errno), "check the path and the free space");
}

}  // namespace

PendingFile::PendingFile(const fs::path& target) : target_(target) {
  std::error_code ignored;
  if (fs::exists(target, ignored)) {
    if (!fs::is_regular_file(target, ignored)) {
      throw base::Error(target.string(), "is not a regular file", "name a file that can be replaced");
    }
    target_ = fs::canonical(target);  // a link stays one
  }
  path_ = target_.parent_path() / fs::path("." + target_.filename().string() + ".part-" + std::to_string(getpid()));
}

PendingFile::~PendingFile() {
  std::error_code ignored;
  if (!committed_) fs::remove(path_, ignored);
}

void PendingFile::commit() {
  const int file = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail(target_);
  const int synced = fsync(file);
  const int why = errno;
  close(file);
  errno = why;
  if (synced != 0 || std::rename(path_.c_str(), target_.c_str()) != 0) fail(target_);
  committed_ = true;
}

}  // namespace cli
