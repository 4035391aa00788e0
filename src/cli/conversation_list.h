// The list of conversations as the terminal shows it, and how one of them is named.
#pragma once

#include <string>
#include <vector>

#include "server/local_api.h"

namespace cli {

// The first of them on standard output, numbered, with when and what they are about; `current` has a mark.
void write_list(const std::vector<server::LocalHead>& list, const std::string& current);
// The one that is meant: by its number in the list that was shown, or of all, by its id or the beginning of that.
// Throws base::Error if none is, or several are.
const server::LocalHead& find_in_list(const std::vector<server::LocalHead>& shown,
                                      const std::vector<server::LocalHead>& all, const std::string& which);
// A title, fit for a terminal's line.
std::string one_line(const std::string& text);

}  // namespace cli
