#include "cli/format.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <string_view>

#include "base/utf8.h"

namespace cli {
namespace {

std::string scaled(double value, std::array<const char*, 5> units) {
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < units.size()) {
    value /= 1000;
    ++unit;
  }
  if (unit == 0) return fmt::format("{:.0f}{}", value, units[0]);
  return fmt::format("{:.{}f}{}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, units[unit]);
}

}  // namespace

std::string grouped(std::uint64_t value) {
  std::string digits = std::to_string(value);
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

std::string byte_size(std::uint64_t bytes) {
  return scaled(static_cast<double>(bytes), {" bytes", " kB", " MB", " GB", " TB"});
}

std::optional<std::uint64_t> parse_byte_size(std::string_view text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [after, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  if (error != std::errc{}) return std::nullopt;
  std::string unit;
  for (const char c : std::string_view(after, end)) {
    if (c != ' ') unit += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  const std::size_t power = std::string_view(" KMGT").find(unit.empty() || unit == "B" ? ' ' : unit.front());
  if (power == std::string_view::npos) return std::nullopt;
  const std::string_view rest = power == 0 ? std::string_view() : std::string_view(unit).substr(1);
  if (!rest.empty() && rest != "B" && rest != "IB") return std::nullopt;
  const double bytes = value * std::pow(rest == "IB" ? 1024.0 : 1000.0, static_cast<double>(power));
  if (!(bytes >= 1 && bytes <= 1e15)) return std::nullopt;
  return static_cast<std::uint64_t>(bytes);
}

std::string count_size(std::uint64_t count) { return scaled(static_cast<double>(count), {"", " k", " M", " B", " T"}); }

std::string duration(double seconds) {
  if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::uint64_t>(std::llround(seconds));
  return fmt::format("{} min {:02} s", whole / 60, whole % 60);
}

std::string date(std::int64_t milliseconds) {
  const std::chrono::sys_time<std::chrono::milliseconds> time{std::chrono::milliseconds(milliseconds)};
  const std::chrono::year_month_day day{std::chrono::floor<std::chrono::days>(time)};
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                     static_cast<unsigned>(day.day()));
}

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const base::utf8::Char c = base::utf8::decode(text);
    const bool control = (c.code_point < 0x20 && c.code_point != '\n' && c.code_point != '\t') ||
                         (c.code_point >= 0x7F && c.code_point < 0xA0);
    const std::size_t length = c.valid() ? c.length : 1;
    if (!c.valid())
      out += base::utf8::replacement;
    else if (control)
      out += ' ';
    else
      out += text.substr(0, length);
    text.remove_prefix(length);
  }
  return out;
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const base::utf8::Char c = base::utf8::decode(text);
    const std::size_t length = c.valid() ? c.length : 1;
    if (!c.valid()) {
      out += base::utf8::replacement;
    } else if (c.code_point < 0x20 || c.code_point == 0x7F) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c.code_point));
    } else {
      if (c.code_point == '"' || c.code_point == '\\') out += '\\';
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  out += '"';
}

}  // namespace cli
