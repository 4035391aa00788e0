// Ctrl-C while something is being written: noted, and left to whoever writes it.
#pragma once

#include <signal.h>

#include <initializer_list>
#include <utility>
#include <vector>

namespace cli {

// Ctrl-C, and other signals if they are given, is noted while one of these lives; afterwards it does what it did
// before.
class InterruptGuard {
 public:
  enum class Second { EndsTheProgram, IsNoted };  // a second Ctrl-C that comes before the first was forgotten
  explicit InterruptGuard(Second second, std::initializer_list<int> signals = {SIGINT});
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  std::vector<std::pair<int, struct sigaction>> before_;  // of each signal
};

// Whether there was a Ctrl-C since forget_interrupts().
bool interrupted();
void forget_interrupts();

}  // namespace cli
