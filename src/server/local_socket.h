// The socket in the file system by which programs of this user find the server that has their conversations. Nobody
// else may connect to it.
#pragma once

#include <string>

namespace server {

class LocalSocket {
 public:
  // Listens at the path, in a folder that is there. What is at the path is taken for the socket of a server that was
  // killed, and replaced: so this is for whoever holds the lock of the data (store::Store), and for as long as he does.
  // Connections wait until somebody accepts them. Throws base::Error if it cannot listen there.
  explicit LocalSocket(std::string path);
  ~LocalSocket();  // removes it
  LocalSocket(const LocalSocket&) = delete;
  LocalSocket& operator=(const LocalSocket&) = delete;

  // The descriptor that listens, for somebody who closes it (ServerOptions::local_socket).
  int release();

  // A connection to whoever listens at the path, a descriptor that is the caller's; -1 if nobody does. Throws
  // base::Error if this user may not connect to it.
  static int connect(const std::string& path);

 private:
  std::string path_;
  int descriptor_;
};

}  // namespace server
