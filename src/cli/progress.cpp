#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "cli/format.h"
#include "cli/output.h"

namespace cli {

Progress::Progress(std::uint64_t total, bool quiet) : total_(total), shown_(!quiet && is_terminal(STDERR_FILENO)) {}

void Progress::show(std::uint64_t done, const std::string& note) {
  const auto now = Clock::now();
  if (!shown_ || (done < total_ && now - last_ < std::chrono::milliseconds(200))) return;
  last_ = now;
  drawn_ = true;
  const double share = total_ > 0 ? static_cast<double>(done) / static_cast<double>(total_) : 1;
  constexpr std::size_t width = 24;
  const auto full = std::min(width, static_cast<std::size_t>(share * width));
  std::string line = "\r[" + std::string(full, '#') + std::string(width - full, '.') + "]";
  line += fmt::format(" {:3.0f} %  {}", 100 * share, note);
  if (share > 0.02 && share < 1) line += "  " + duration(seconds() * (1 - share) / share) + " left";
  write_error(line + "\x1b[K");
}

void Progress::clear() {
  if (drawn_) write_error("\r\x1b[K");
  drawn_ = false;
}

double Progress::seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

}  // namespace cli
