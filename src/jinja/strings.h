// What Python's str methods do, with each character keeping its provenance.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/text.h"
#include "jinja/value.h"

namespace jinja::strings {

Text upper(const Text& s);
Text lower(const Text& s);
Text swap_case(const Text& s);
Text capitalize(const Text& s);
Text title(const Text& s);
Text fold_case(const Text& s);

enum Side : unsigned { Left = 1, Right = 2, Both = 3 };
// Without `characters`, whitespace.
Text strip(const Text& s, const std::optional<Text>& characters, Side side);

// Where `wanted` first begins in `text`, at or after `from`, in bytes; npos if nowhere. Linear in the text, whatever it
// holds.
std::size_t position_of(std::string_view wanted, std::string_view text, std::size_t from = 0);
Text replace(const Text& s, const Text& from, const Text& to, Int count);
Text join(const Text& separator, const std::vector<Text>& parts);

// Without a separator, at whitespace; at most `limit` cuts unless it is negative.
std::vector<Text> split(const Text& s, const std::optional<Text>& separator, Int limit);
std::vector<Text> split_from_right(const Text& s, const std::optional<Text>& separator, Int limit);
std::vector<Text> split_lines(const Text& s, bool keep_ends);

// `width` and the fill count characters.
Text center(const Text& s, Int width, const Text& fill);
Text justify(const Text& s, Int width, const Text& fill, Side text_at);
Text expand_tabs(const Text& s, Int size);

bool is_lower(std::string_view s);
bool is_upper(std::string_view s);
bool is_title(std::string_view s);

Text reversed(const Text& s);
Value to_list(std::vector<Text> parts, bool safe);

}  // namespace jinja::strings
