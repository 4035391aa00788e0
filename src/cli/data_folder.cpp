#include "cli/data_folder.h"

#include <boost/uuid/name_generator_sha1.hpp>
#include <boost/uuid/uuid.hpp>
#include <boost/uuid/uuid_io.hpp>
#include <cstdlib>

#include "base/error.h"

namespace cli {
namespace {

namespace fs = std::filesystem;

fs::path environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

bool is_address(const std::string& place) { return place.find("://") != std::string::npos; }

}  // namespace

// Relative paths in XDG variables are to be ignored (XDG Base Directory Specification).
fs::path data_folder() {
  if (const fs::path data = environment("XDG_DATA_HOME"); data.is_absolute()) return data / "smollm3";
  if (const fs::path home = environment("HOME"); !home.empty()) return home / ".local" / "share" / "smollm3";
  return {};
}

std::string data_place(const std::string& given) {
  if (!given.empty()) return given;
  std::string folder = data_folder().string();
  if (folder.empty()) throw base::Error("conversations", "this user has no folder for them", "name one with --data");
  return folder;
}

std::string existing_data_place(const std::string& given) {
  std::string place = data_place(given);
  std::error_code ignored;
  if (!is_address(place) && !fs::exists(fs::path(place) / "conversations.sqlite", ignored)) {
    throw base::Error(place, "there are no conversations", "name the folder that they are in with --data");
  }
  return place;
}

std::string socket_of(const std::string& place) {
  if (!is_address(place)) return (fs::path(place) / "socket").string();
  if (data_folder().empty()) return {};
  // Whoever sees the name does not know the address, which may have a password.
  const auto id = boost::uuids::name_generator_sha1(boost::uuids::ns::url())(place);
  return (data_folder() / "sockets" / boost::uuids::to_string(id)).string();
}

void refuse_own_file(const std::string& file, const std::string& place) {
  std::error_code ignored;
  const fs::path path(file);
  const fs::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const std::string name = path.filename().string();
  if (!fs::equivalent(folder, place, ignored) ||
      (!name.starts_with("conversations.sqlite") && name != "lock" && name != "socket"))
    return;
  throw base::Error(file, "this is where the conversations are kept", "choose another name");
}

}  // namespace cli
