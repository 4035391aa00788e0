// The socket of a server for programs of this user, where one can be had: a server that has none works all the same,
// but is found by nobody but browsers.
#pragma once

#include <optional>
#include <string>

#include "server/local_socket.h"

namespace cli {

class LocalListener {
 public:
  // `path`: as of socket_of (data_folder.h). That it cannot listen there is told in the log.
  explicit LocalListener(const std::string& path);

  // As of server::LocalSocket; -1 if there is none.
  int release() { return socket_ ? socket_->release() : -1; }

 private:
  std::optional<server::LocalSocket> socket_;
};

}  // namespace cli
