// What a command asks of the person at the terminal, or reads from whatever is in that place.
#pragma once

#include <optional>
#include <string>

namespace cli {

// A new password: asked for twice, without showing it; where standard input is no terminal, its first line. None if
// there was a Ctrl-C. Throws base::Error if it is too short to be one, or was typed in two ways.
std::optional<std::string> ask_new_password(const std::string& account);

// Whether the answer is yes; no where standard input is no terminal.
bool ask_yes(const std::string& question);

}  // namespace cli
