#include "cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include "cli/command_line.h"

namespace cli {
namespace {

volatile sig_atomic_t interrupts = 0;

void on_interrupt(int) {
  interrupts = interrupts + 1;
  if (interrupts > 1) _exit(exit_interrupted);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  interrupts = 0;
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
}

InterruptGuard::~InterruptGuard() { signal(SIGINT, SIG_DFL); }

bool InterruptGuard::interrupted() const { return interrupts > 0; }

}  // namespace cli
