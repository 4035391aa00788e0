// Where models and conversations of this user are.
#pragma once

#include <filesystem>

namespace cli {

// $XDG_DATA_HOME/smollm3, or ~/.local/share/smollm3; empty if there is no home. It need not exist.
std::filesystem::path data_folder();

}  // namespace cli
