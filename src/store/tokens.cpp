#include "store/tokens.h"

#include <array>

#include "base/error.h"

namespace store {
namespace {

constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint32_t mark = 1u << 23;

constexpr std::array<std::int8_t, 256> values = [] {
  std::array<std::int8_t, 256> table{};
  table.fill(-1);
  for (std::size_t i = 0; i < digits.size(); ++i)
    table[static_cast<unsigned char>(digits[i])] = static_cast<std::int8_t>(i);
  return table;
}();

void append(std::string& text, std::int32_t id, bool generated) {
  const auto number = static_cast<std::uint32_t>(id);
  if (number >= mark) throw base::Error(base::ErrorKind::Internal, "token", "is too large to be stored");
  const std::uint32_t word = number | (generated ? mark : 0);
  for (const int shift : {18, 12, 6, 0}) text += digits[word >> shift & 63];
}

}  // namespace

std::string encode(const Tokens& tokens) {
  std::string text;
  text.reserve(4 * tokens.ids.size());
  for (std::size_t i = 0; i < tokens.ids.size(); ++i) {
    const bool generated = i / 64 < tokens.generated.size() && (tokens.generated[i / 64] >> (i % 64) & 1) != 0;
    append(text, tokens.ids[i], generated);
  }
  return text;
}

std::string encode_generated(std::span<const std::int32_t> ids) {
  std::string text;
  text.reserve(4 * ids.size());
  for (const std::int32_t id : ids) append(text, id, true);
  return text;
}

Tokens decode(std::string_view text) {
  const auto fail = [] {
    throw base::Error(base::ErrorKind::Internal, "store", "has a list of tokens that is damaged");
  };
  if (text.size() % 4 != 0) fail();
  Tokens tokens;
  tokens.ids.reserve(text.size() / 4);
  tokens.generated.resize((text.size() / 4 + 63) / 64);
  for (std::size_t i = 0; i < text.size() / 4; ++i) {
    std::uint32_t word = 0;
    for (const char digit : text.substr(4 * i, 4)) {
      const std::int8_t value = values[static_cast<unsigned char>(digit)];
      if (value < 0) fail();
      word = word << 6 | static_cast<std::uint32_t>(value);
    }
    tokens.ids.push_back(static_cast<std::int32_t>(word & (mark - 1)));
    if ((word & mark) != 0) tokens.generated[i / 64] |= std::uint64_t{1} << (i % 64);
  }
  return tokens;
}

}  // namespace store
