#include "server/http_text.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"

namespace server {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      decoded += ' ';
    } else if (text[i] == '%') {
      if (text.size() - i < 3) return std::nullopt;
      const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      decoded += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

std::map<std::string, std::string> parse_form(std::string_view body) {
  std::map<std::string, std::string> fields;
  while (!body.empty()) {
    const std::size_t end = std::min(body.find('&'), body.size());
    const std::string_view pair = body.substr(0, end);
    body.remove_prefix(std::min(end + 1, body.size()));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const auto name = percent_decode(pair.substr(0, equals), true);
    const auto value = percent_decode(pair.substr(std::min(equals + 1, pair.size())), true);
    if (name && value && !name->empty()) fields[*name] = *value;
  }
  return fields;
}

std::string clean_text(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const base::utf8::Char c = base::utf8::decode(text.substr(i));
    if (!c.valid()) {
      clean += base::utf8::replacement;
      ++i;
    } else if (text[i] == '\r') {
      clean += '\n';
      i += i + 1 < text.size() && text[i + 1] == '\n' ? 2 : 1;
    } else {
      clean.append(text, i, c.length);
      i += c.length;
    }
  }
  return clean;
}

std::optional<std::int64_t> parse_number(const std::string& digits) {
  if (digits.empty() || digits.size() > 6 || digits.find_first_not_of("0123456789") != std::string::npos) {
    return std::nullopt;
  }
  return std::stol(digits);
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\n") + 1 - begin);
}

std::string sse_event(std::string_view data, std::string_view name) {
  std::string event;
  event.reserve(data.size() + name.size() + 32);
  if (!name.empty()) event.append("event: ").append(name).append("\n");
  // Any of \n, \r\n and \r ends a line of an event, so none of them may be left within one.
  std::size_t begin = 0;
  while (true) {
    const std::size_t end = std::min(data.find_first_of("\r\n", begin), data.size());
    event.append("data: ").append(data, begin, end - begin).append("\n");
    if (end == data.size()) break;
    begin = end + (data[end] == '\r' && end + 1 < data.size() && data[end + 1] == '\n' ? 2 : 1);
  }
  return event += '\n';
}

std::string sse_message(std::string_view data, std::string_view id) {
  return "id: " + std::string(id) + '\n' + sse_event(data);
}

std::string random_hex(std::size_t bytes) {
  std::vector<std::uint8_t> random(bytes);
  for (std::size_t filled = 0; filled < bytes;) {
    const ssize_t got = getrandom(random.data() + filled, bytes - filled, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw base::Error(base::ErrorKind::Resource, "getrandom", std::strerror(errno));
    filled += static_cast<std::size_t>(got);
  }
  std::string hex;
  hex.reserve(2 * bytes);
  for (const std::uint8_t byte : random) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

}  // namespace server
