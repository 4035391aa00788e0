// Where models and conversations of this user are.
#pragma once

#include <filesystem>
#include <string>

namespace cli {

// $XDG_DATA_HOME/smollm3, or ~/.local/share/smollm3; empty if there is no home. It need not exist.
std::filesystem::path data_folder();

// Where conversations are kept, as of store::Database: what was given with --data, or data_folder(). Throws base::Error
// if there is neither, and existing_data_place() if none were ever kept there.
std::string data_place(const std::string& given);
std::string existing_data_place(const std::string& given);
// The socket by which programs of this user find the server that has the conversations of a place
// (server/local_socket.h): in the folder, or for a database, in this user's own. Empty if there is no folder for it.
std::string socket_of(const std::string& place);
// Throws base::Error if `file` is one that conversations are kept in.
void refuse_own_file(const std::string& file, const std::string& place);

}  // namespace cli
