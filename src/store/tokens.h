// Tokens as text: four characters (base64) for each, so that a list can be appended to, and any database can keep it.
// Of each token's 24 bits the highest says whether it was generated, or given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace store {

struct Tokens {
  std::vector<std::int32_t> ids{};
  std::vector<std::uint64_t> generated{};  // a bit for each, 64 to a word; those that are missing are 0

  bool operator==(const Tokens&) const = default;
};

// Ids must be below 2²³.
std::string encode(const Tokens& tokens);
std::string encode_generated(std::span<const std::int32_t> ids);
// Throws base::Error (Internal) if the text was not made by encode().
Tokens decode(std::string_view text);

}  // namespace store
