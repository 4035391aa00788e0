#include "server/local_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/error.h"

namespace server {
namespace {

namespace fs = std::filesystem;

base::Error failure(const std::string& path, const char* what, int reason) {
  return {base::ErrorKind::Resource, path, std::string(what) + ": " + std::strerror(reason),
          "choose another place for conversations with --data"};
}

// The address of a path, while this lasts. An address holds a hundred bytes; a longer path is taken from its folder on.
class Address {
 public:
  explicit Address(const std::string& path) {
    address_.sun_family = AF_UNIX;
    std::string name = path;
    if (name.size() >= sizeof address_.sun_path) {
      const fs::path full(path);
      folder_ = ::open(full.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
      name = "/proc/self/fd/" + std::to_string(folder_) + "/" + full.filename().string();
    }
    std::memcpy(address_.sun_path, name.c_str(), std::min(name.size(), sizeof address_.sun_path - 1));
  }
  ~Address() {
    if (folder_ >= 0) ::close(folder_);
  }
  Address(const Address&) = delete;
  Address& operator=(const Address&) = delete;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  static constexpr socklen_t size = sizeof(sockaddr_un);

 private:
  sockaddr_un address_{};
  int folder_ = -1;
};

int new_socket(const std::string& path) {
  const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) throw failure(path, "no socket can be made", errno);
  return descriptor;
}

}  // namespace

LocalSocket::LocalSocket(std::string path) : path_(std::move(path)), descriptor_(new_socket(path_)) {
  ::unlink(path_.c_str());
  const Address address(path_);
  // The file gets these permissions, so that there is no moment in which others may connect.
  const bool listens = ::fchmod(descriptor_, 0600) == 0 && ::bind(descriptor_, address.get(), Address::size) == 0 &&
                       ::listen(descriptor_, SOMAXCONN) == 0;
  if (listens) return;
  const int reason = errno;
  ::close(descriptor_);
  throw failure(path_, "programs of this user cannot be listened to there", reason);
}

LocalSocket::~LocalSocket() {
  if (descriptor_ >= 0) ::close(descriptor_);
  ::unlink(path_.c_str());
}

int LocalSocket::release() { return std::exchange(descriptor_, -1); }

int LocalSocket::connect(const std::string& path) {
  const int descriptor = new_socket(path);
  const Address address(path);
  if (::connect(descriptor, address.get(), Address::size) == 0) return descriptor;
  const int reason = errno;
  ::close(descriptor);
  if (reason == ENOENT || reason == ENOTDIR || reason == ECONNREFUSED) return -1;
  throw failure(path, "the server cannot be reached there", reason);
}

}  // namespace server
