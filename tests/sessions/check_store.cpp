// Whether what a server left in a folder, however it ended, belongs together: 0 if it does, else 1 and a line that says
// what does not.
#include <cstdio>
#include <exception>

#include "store/database.h"

int main(int count, char** arguments) {
  if (count != 2) {
    std::fputs("usage: check_store FOLDER\n", stderr);
    return 2;
  }
  try {
    store::Database(arguments[1]).check();
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "check_store: %s\n", failure.what());
    return 1;
  }
  return 0;
}
