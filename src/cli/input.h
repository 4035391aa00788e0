// What the program reads: whole files, standard input, and values written in them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include <cstdint>

namespace cli {

// Throw base::Error if the file, or standard input, cannot be read.
std::string read_file(const std::string& path);
std::string read_standard_input();
// Without the line breaks at its end, which a file's last line has.
std::string without_last_breaks(std::string text);

// Throws base::Error naming the file if it cannot be read or is not JSON.
nlohmann::ordered_json read_json(const std::string& path);

// Token ids separated by blanks, commas or line breaks, in brackets or not. Throws base::Error naming what is not a
// number.
std::vector<std::int32_t> parse_tokens(std::string_view text);

}  // namespace cli
