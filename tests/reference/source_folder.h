// Where the files lie that tests read.
#pragma once

#include <cstdlib>
#include <filesystem>

namespace reference {

// The project's folder: where it was when the program was built, or $SMOLLM3_SOURCE_DIR, for programs that are carried
// to another machine.
inline std::filesystem::path source_folder() {
  const char* moved = std::getenv("SMOLLM3_SOURCE_DIR");
  return moved != nullptr ? moved : SMOLLM3_SOURCE_DIR;
}

}  // namespace reference
