#include "cli/output.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "cli/format.h"

namespace cli {
namespace {

constexpr std::size_t buffer_size = 64 << 10;

// Bytes written, all of them unless errno says why not.
std::size_t write_all(int descriptor, std::string_view text) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = ::write(descriptor, text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

}  // namespace

void Output::write(std::string_view text) {
  buffer_ += text;
  if (buffer_.size() >= buffer_size) flush();
}

void Output::flush() {
  const std::string text = std::move(buffer_);
  buffer_.clear();
  if (write_all(descriptor_, text) == text.size()) return;
  if (errno == EPIPE) throw BrokenPipe{};
  throw OutputError(base::ErrorKind::Resource, name_, std::string("cannot be written: ") + std::strerror(errno),
                    "check where it leads to");
}

Output& standard_output() {
  static Output output(STDOUT_FILENO);
  return output;
}

void write_error(std::string_view text) { write_all(STDERR_FILENO, text); }

void report_error(std::string_view line) {
  std::string text = "smollm3: " + printable(line);
  std::ranges::replace_if(
      text, [](char c) { return c == '\n' || c == '\t'; }, ' ');
  write_error(text + "\n");
}

bool is_terminal(int descriptor) { return isatty(descriptor) == 1; }

bool has_colour(int descriptor) {
  if (!is_terminal(descriptor)) return false;
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return (no_colour == nullptr || *no_colour == '\0') && (terminal == nullptr || std::strcmp(terminal, "dumb") != 0);
}

std::string dim(int descriptor, std::string_view text) {
  if (!has_colour(descriptor)) return std::string(text);
  return "\x1b[2m" + std::string(text) + "\x1b[0m";
}

}  // namespace cli
