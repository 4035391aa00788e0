#include "base/error.h"

namespace base {
namespace {

std::string one_line(std::string_view what, std::string_view why, std::string_view remedy) {
  std::string line{what};
  line.append(": ").append(why);
  if (!remedy.empty()) line.append("; ").append(remedy);
  return line;
}

}  // namespace

Error::Error(std::string_view what, std::string_view why, std::string_view remedy)
    : std::runtime_error(one_line(what, why, remedy)), subject_(what), why_(why), remedy_(remedy) {}

}  // namespace base
