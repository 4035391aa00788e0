// Figures as a person reads them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cli {

std::string grouped(std::uint64_t value);    // 128256 as "128,256"
std::string byte_size(std::uint64_t bytes);  // "1.92 GB", "340 kB": powers of 1000, three figures
// The reverse, as people type it: "4G", "1.5 GB", "512MiB" (powers of 1024), "1000000"; nothing if it is no such size,
// is less than a byte, or more than 1000 TB.
std::optional<std::uint64_t> parse_byte_size(std::string_view text);
std::string count_size(std::uint64_t count);  // "3.08 B" (10⁹), "5.2 M"
std::string duration(double seconds);         // "0.4 s", "2 min 05 s"
std::string date(std::int64_t milliseconds);  // since 1970, UTC: "2026-01-31"

// The text with what is not UTF-8 replaced by U+FFFD, and control characters (but line breaks and tabs) by blanks: fit
// for a terminal, whatever a file holds.
std::string printable(std::string_view text);

// The text as a JSON string, quotes included; what is not UTF-8 becomes U+FFFD.
void append_json_string(std::string& out, std::string_view text);

}  // namespace cli
