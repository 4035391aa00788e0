#include "cli/interrupt.h"

#include <unistd.h>

#include "cli/command_line.h"

namespace cli {
namespace {

volatile sig_atomic_t noted = 0;

void note(int) { noted = 1; }

void note_or_end(int) {
  if (noted != 0) _exit(exit_interrupted);
  noted = 1;
}

}  // namespace

InterruptGuard::InterruptGuard(Second second, std::initializer_list<int> signals) {
  forget_interrupts();
  struct sigaction action {};
  action.sa_handler = second == Second::IsNoted ? note : note_or_end;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int signal : signals) {
    struct sigaction before {};
    sigaction(signal, &action, &before);
    before_.emplace_back(signal, before);
  }
}

InterruptGuard::~InterruptGuard() {
  for (const auto& [signal, before] : before_) sigaction(signal, &before, nullptr);
}

bool interrupted() { return noted != 0; }

void forget_interrupts() { noted = 0; }

}  // namespace cli
