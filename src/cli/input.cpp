#include "cli/input.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/format.h"
#include "smollm3/chat_messages.h"

namespace cli {
namespace {

std::string read_all(int descriptor, const std::string& name) {
  std::string text;
  char buffer[64 << 10];
  for (;;) {
    const ssize_t count = ::read(descriptor, buffer, sizeof buffer);
    if (count == 0) return text;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      throw base::Error(base::kind_of_errno(errno), name, std::string("cannot be read: ") + std::strerror(errno),
                        "check what it is");
    text.append(buffer, static_cast<std::size_t>(count));
  }
}

class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() { close(descriptor_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

}  // namespace

std::string read_file(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0)
    throw base::Error(base::kind_of_errno(errno), path, std::strerror(errno), "check the path and its permissions");
  const Descriptor file(descriptor);
  return read_all(file.get(), path);
}

std::string read_standard_input() { return read_all(STDIN_FILENO, "standard input"); }

std::string without_last_breaks(std::string text) {
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  return text;
}

nlohmann::ordered_json read_json(const std::string& path) {
  const std::string text = read_file(path);
  if (!smollm3::within_json_bounds(text)) {
    throw base::Error(path, "is nested too deeply, or an object in it has too many keys", "flatten it");
  }
  try {
    return nlohmann::ordered_json::parse(text);
  } catch (const nlohmann::ordered_json::parse_error& error) {
    throw base::Error(path, "is not JSON: byte " + std::to_string(error.byte), "correct the file");
  }
}

std::vector<std::int32_t> parse_tokens(std::string_view text) {
  constexpr std::string_view between = " \t\r\n,[]";
  std::vector<std::int32_t> tokens;
  for (std::size_t at = text.find_first_not_of(between); at != std::string_view::npos;
       at = text.find_first_not_of(between, at)) {
    const std::size_t end = std::min(text.find_first_of(between, at), text.size());
    std::int32_t token = 0;
    const auto [stop, error] = std::from_chars(&text[at], &text[at] + (end - at), token);
    if (error != std::errc{} || stop != &text[at] + (end - at) || token < 0) {
      throw base::Error("token ids",
                        "'" + printable(text.substr(at, std::min<std::size_t>(end - at, 40))) + "' is none",
                        "write whole numbers separated by blanks or commas");
    }
    tokens.push_back(token);
    at = end;
  }
  return tokens;
}

}  // namespace cli
