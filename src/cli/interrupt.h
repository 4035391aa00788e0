// Ctrl-C while an answer is being written: noted, and left to whoever writes it. A second one ends the program at once.
#pragma once

namespace cli {

class InterruptGuard {
 public:
  InterruptGuard();   // from here on Ctrl-C is noted
  ~InterruptGuard();  // from here on it ends the program again
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  bool interrupted() const;
};

}  // namespace cli
