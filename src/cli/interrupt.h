// Ctrl-C while an answer is being written: noted, and left to whoever writes it.
#pragma once

#include <signal.h>

namespace cli {

// Ctrl-C is noted while one of these lives; afterwards it does what it did before.
class InterruptGuard {
 public:
  enum class Second { EndsTheProgram, IsNoted };  // a second Ctrl-C that comes before the first was forgotten
  explicit InterruptGuard(Second second);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  struct sigaction before_;
};

// Whether there was a Ctrl-C since forget_interrupts().
bool interrupted();
void forget_interrupts();

}  // namespace cli
