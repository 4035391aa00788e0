#include "base/error.h"

#include <cerrno>

namespace base {
namespace {

// Causes quote names out of files, which may be of any length.
constexpr std::size_t longest_cause = 400;

std::string shortened(std::string_view text) {
  if (text.size() <= longest_cause) return std::string(text);
  std::size_t end = longest_cause;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // not within a character
  return std::string(text.substr(0, end)) + "…";
}

std::string one_line(std::string_view what, std::string_view why, std::string_view remedy) {
  std::string line{what};
  line.append(": ").append(why);
  if (!remedy.empty()) line.append("; ").append(remedy);
  return line;
}

}  // namespace

ErrorKind kind_of_errno(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EINVAL:
    case ELOOP:
    case ENAMETOOLONG:
      return ErrorKind::Input;
    default:  // there are some hundred more, each about the machine
      return ErrorKind::Resource;
  }
}

Error::Error(std::string_view what, std::string_view why, std::string_view remedy)
    : Error(ErrorKind::Input, what, why, remedy) {}

Error::Error(ErrorKind kind, std::string_view what, std::string_view why, std::string_view remedy)
    : std::runtime_error(one_line(what, shortened(why), remedy)),
      kind_(kind),
      subject_(what),
      why_(shortened(why)),
      remedy_(remedy) {}

}  // namespace base
