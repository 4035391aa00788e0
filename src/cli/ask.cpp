#include "cli/ask.h"

#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/utf8.h"
#include "cli/answer.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/output.h"

namespace cli {
namespace {

constexpr std::size_t least_characters = 8;
constexpr std::size_t most_bytes = 1024;  // the sign-in's form has room for it

// The terminal shows nothing of what is typed but the end of the line, while one of these lives.
class Unseen {
 public:
  Unseen() {
    known_ = tcgetattr(STDIN_FILENO, &before_) == 0;
    if (!known_) return;
    termios unseen = before_;
    unseen.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    unseen.c_lflag |= ECHONL;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &unseen);
  }
  ~Unseen() {
    if (known_) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;

 private:
  termios before_{};
  bool known_ = false;
};

// What is typed up to the end of the line; none if there was a Ctrl-C, or nothing comes any more.
std::optional<std::string> read_line() {
  std::string line;
  while (!interrupted()) {
    pollfd input{STDIN_FILENO, POLLIN, 0};
    if (::poll(&input, 1, 100) <= 0) continue;
    char byte = 0;
    const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return std::nullopt;
    if (byte == '\n') return line;
    line += byte;
  }
  return std::nullopt;
}

std::optional<std::string> ask_unseen(const std::string& prompt) {
  const Unseen unseen;
  write_error(prompt);
  auto line = read_line();
  if (!line) write_error("\n");
  return line;
}

void check_password(const std::string& password) {
  require_utf8("password", password);
  if (base::utf8::count(password) < least_characters) {
    throw base::Error("password", "it is too short", "take one of at least 8 characters, better a few words");
  }
  if (password.size() > most_bytes) throw base::Error("password", "it is too long", "take one of at most 1024 bytes");
}

}  // namespace

std::optional<std::string> ask_new_password(const std::string& account) {
  if (!is_terminal(STDIN_FILENO)) {
    const std::string text = read_standard_input();
    std::string line = without_last_breaks(text.substr(0, text.find('\n')));
    check_password(line);
    return line;
  }
  // The terminal must show again what is typed, also after a Ctrl-C.
  const InterruptGuard guard(InterruptGuard::Second::IsNoted, {SIGINT, SIGTERM, SIGHUP});
  auto password = ask_unseen("Password for " + account + ": ");
  if (!password) return std::nullopt;
  check_password(*password);
  const auto again = ask_unseen("Once more: ");
  if (!again) return std::nullopt;
  if (*again != *password) throw base::Error("password", "the two that were typed differ", "try again");
  return password;
}

bool ask_yes(const std::string& question) {
  if (!is_terminal(STDIN_FILENO)) return false;
  const InterruptGuard guard(InterruptGuard::Second::IsNoted);
  write_error(question + " [y/N] ");
  const auto line = read_line();
  if (!line) write_error("\n");
  return line && (*line == "y" || *line == "Y" || *line == "yes");
}

}  // namespace cli
