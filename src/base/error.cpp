#include "base/error.h"

#include <cerrno>
#include <new>

#include "base/utf8.h"

namespace base {
namespace {

// Causes quote names out of files, which may be of any length.
constexpr std::size_t longest_cause = 400;

std::string shortened(std::string_view text) {
  if (text.size() <= longest_cause) return std::string(text);
  return std::string(text.substr(0, utf8::cut(text, longest_cause))) + "…";
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

Error as_error(const std::exception& failure, std::string_view what) {
  if (const auto* error = dynamic_cast<const Error*>(&failure)) return *error;
  if (dynamic_cast<const std::bad_alloc*>(&failure) != nullptr) {
    return {ErrorKind::Resource, what, "memory ran out", "close other programs"};
  }
  return {ErrorKind::Internal, what, failure.what()};
}

}  // namespace base
