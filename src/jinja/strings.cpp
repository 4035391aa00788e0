#include "jinja/strings.h"

#include <algorithm>
#include <cstring>

#include "base/utf8.h"
#include "jinja/failure.h"
#include "jinja/unicode.h"

namespace jinja::strings {
namespace {

using unicode::CodePoint;

constexpr std::size_t steps_per_string = 8;  // what a string of its own costs in memory
constexpr CodePoint capital_sigma = 0x3A3, final_sigma = 0x3C2;

// Each character of s in order, and whether it is trusted.
class Characters {
 public:
  explicit Characters(const Text& text) : text_(text), range_(text.trusted().begin()) {}

  bool more() const { return at_ < text_.size(); }
  void next() { at_ += current().size; }
  std::size_t at() const { return at_; }
  unicode::Char current() const { return unicode::decode(text_.bytes(), at_); }
  bool trusted() {
    while (range_ != text_.trusted().end() && range_->end <= at_) ++range_;
    return range_ != text_.trusted().end() && range_->begin <= at_;
  }

 private:
  const Text& text_;
  std::vector<Text::Range>::const_iterator range_;
  std::size_t at_ = 0;
};

// A capital sigma at s[at] that ends a word: after a cased letter, and before none.
bool ends_word(std::string_view s, std::size_t at) {
  bool after_cased = false;
  for (std::size_t i = at; i > 0;) {
    i = base::utf8::last_start(s.substr(0, i));
    const CodePoint c = unicode::decode(s, i).code;
    if (unicode::is_case_ignorable(c)) continue;
    after_cased = unicode::is_cased(c);
    break;
  }
  if (!after_cased) return false;
  for (std::size_t i = at + 2; i < s.size(); i += unicode::decode(s, i).size) {
    const CodePoint c = unicode::decode(s, i).code;
    if (!unicode::is_case_ignorable(c)) return !unicode::is_cased(c);
  }
  return true;
}

unicode::Mapped lower_at(std::string_view s, std::size_t at, CodePoint c) {
  if (c == capital_sigma && ends_word(s, at)) return {{final_sigma, 0, 0}};
  return unicode::lower(c);
}

// `map(code, position)` for each character.
template <class Map>
Text mapped(const Text& s, const Map& map) {
  Budget::spend_text(s.size() * 8);
  Text out;
  for (Characters c(s); c.more(); c.next()) {
    const auto [code, size] = c.current();
    if (code == unicode::invalid) {
      out.append(s, c.at(), size);
      continue;
    }
    std::string bytes;
    for (const CodePoint to : map(code, c.at()).codes) {
      if (to != 0 || code == 0) unicode::append(bytes, to);
      if (code == 0) break;
    }
    out.append(bytes, c.trusted());
  }
  return out;
}

bool is_line_end(CodePoint c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

std::size_t previous(std::string_view s, std::size_t at) { return base::utf8::last_start(s.substr(0, at)); }

void require_separator(const Text& separator) {
  if (separator.empty()) throw Failure("split was given an empty separator");
}

}  // namespace

Text upper(const Text& s) {
  return mapped(s, [](CodePoint c, std::size_t) { return unicode::upper(c); });
}

Text lower(const Text& s) {
  return mapped(s, [&](CodePoint c, std::size_t at) { return lower_at(s.bytes(), at, c); });
}

Text fold_case(const Text& s) {
  return mapped(s, [](CodePoint c, std::size_t) { return unicode::fold(c); });
}

Text swap_case(const Text& s) {
  return mapped(s, [&](CodePoint c, std::size_t at) -> unicode::Mapped {
    if (unicode::is_upper(c)) return lower_at(s.bytes(), at, c);
    if (unicode::is_lower(c)) return unicode::upper(c);
    return {{c, 0, 0}};
  });
}

Text capitalize(const Text& s) {
  return mapped(s,
                [&](CodePoint c, std::size_t at) { return at == 0 ? unicode::title(c) : lower_at(s.bytes(), at, c); });
}

Text title(const Text& s) {
  bool after_cased = false;
  return mapped(s, [&](CodePoint c, std::size_t at) {
    const auto to = after_cased ? lower_at(s.bytes(), at, c) : unicode::title(c);
    after_cased = unicode::is_cased(c);
    return to;
  });
}

Text strip(const Text& s, const std::optional<Text>& characters, Side side) {
  std::vector<CodePoint> set;
  if (characters) {
    for (std::size_t at = 0; at < characters->size();) {
      const auto [code, size] = unicode::decode(characters->bytes(), at);
      set.push_back(code);
      at += size;
    }
  }
  const auto unwanted = [&](CodePoint c) {
    return characters ? std::find(set.begin(), set.end(), c) != set.end() : unicode::is_space(c);
  };
  const std::string& b = s.bytes();
  std::size_t begin = 0, end = b.size();
  std::size_t looked = 1;
  if (side & Left) {
    while (begin < end && unwanted(unicode::decode(b, begin).code)) begin += unicode::decode(b, begin).size, ++looked;
  }
  if (side & Right) {
    while (end > begin && unwanted(unicode::decode(b, previous(b, end)).code)) end = previous(b, end), ++looked;
  }
  Budget::spend(looked * (set.size() + 1) / 16);
  Budget::spend_text(end - begin);
  return s.substr(begin, end - begin);
}

std::size_t position_of(std::string_view wanted, std::string_view text, std::size_t from) {
  if (from > text.size()) return std::string::npos;
  const void* found = memmem(text.data() + from, text.size() - from, wanted.data(), wanted.size());
  return found == nullptr ? std::string::npos : static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

Text replace(const Text& s, const Text& from, const Text& to, Int count) {
  if (count < 0) count = static_cast<Int>(s.size()) + 1;
  const std::string& b = s.bytes();
  Budget::spend_text(b.size());
  Text out;
  std::size_t done = 0;
  if (from.empty()) {
    for (; count > 0; --count) {
      out.append(to);
      Budget::spend_text(to.size());
      if (done == b.size()) break;
      const std::size_t size = unicode::decode(b, done).size;
      out.append(s, done, size);
      done += size;
    }
  } else {
    for (; count > 0; --count) {
      const std::size_t at = position_of(from.bytes(), b, done);
      if (at == std::string::npos) break;
      out.append(s, done, at - done);
      out.append(to);
      Budget::spend_text(at - done + to.size());
      done = at + from.size();
    }
  }
  out.append(s, done, b.size() - done);
  Budget::spend_text(out.size());
  return out;
}

Text join(const Text& separator, const std::vector<Text>& parts) {
  std::size_t total = 0;
  for (const Text& part : parts) total += part.size() + separator.size();
  Budget::spend_text(total);
  Text out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out.append(separator);
    out.append(parts[i]);
  }
  return out;
}

std::vector<Text> split(const Text& s, const std::optional<Text>& separator, Int limit) {
  const std::string& b = s.bytes();
  Budget::spend_text(b.size());
  std::vector<Text> out;
  if (limit < 0) limit = static_cast<Int>(b.size()) + 1;
  if (separator) {
    require_separator(*separator);
    std::size_t done = 0;
    for (; limit > 0; --limit) {
      const std::size_t at = position_of(separator->bytes(), b, done);
      if (at == std::string::npos) break;
      out.push_back(s.substr(done, at - done));
      done = at + separator->size();
    }
    out.push_back(s.substr(done));
    Budget::spend(out.size() * steps_per_string);
    return out;
  }
  const auto space_at = [&](std::size_t at) { return unicode::is_space(unicode::decode(b, at).code); };
  const auto step = [&](std::size_t at) { return at + unicode::decode(b, at).size; };
  for (std::size_t at = 0;;) {
    while (at < b.size() && space_at(at)) at = step(at);
    if (at == b.size()) break;
    const std::size_t begin = at;
    if (limit-- == 0) {
      out.push_back(s.substr(begin));
      break;
    }
    while (at < b.size() && !space_at(at)) at = step(at);
    out.push_back(s.substr(begin, at - begin));
  }
  Budget::spend(out.size() * steps_per_string);
  return out;
}

std::vector<Text> split_from_right(const Text& s, const std::optional<Text>& separator, Int limit) {
  const std::string& b = s.bytes();
  Budget::spend_text(b.size());
  std::vector<Text> out;
  if (limit < 0) limit = static_cast<Int>(b.size()) + 1;
  std::size_t end = b.size();
  if (separator) {
    require_separator(*separator);
    for (; limit > 0 && end >= separator->size(); --limit) {
      const std::size_t at = b.rfind(separator->bytes(), end - separator->size());
      if (at == std::string::npos) break;
      out.push_back(s.substr(at + separator->size(), end - at - separator->size()));
      end = at;
    }
    out.push_back(s.substr(0, end));
  } else {
    const auto space_before = [&](std::size_t at) {
      return unicode::is_space(unicode::decode(b, previous(b, at)).code);
    };
    for (;;) {
      while (end > 0 && space_before(end)) end = previous(b, end);
      if (end == 0) break;
      if (limit-- == 0) {
        out.push_back(s.substr(0, end));
        break;
      }
      std::size_t begin = end;
      while (begin > 0 && !space_before(begin)) begin = previous(b, begin);
      out.push_back(s.substr(begin, end - begin));
      end = begin;
    }
  }
  std::reverse(out.begin(), out.end());
  Budget::spend(out.size() * steps_per_string);
  return out;
}

std::vector<Text> split_lines(const Text& s, bool keep_ends) {
  const std::string& b = s.bytes();
  Budget::spend_text(b.size());
  std::vector<Text> out;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < b.size();) {
    const auto [code, size] = unicode::decode(b, at);
    if (!is_line_end(code)) {
      at += size;
      continue;
    }
    const std::size_t end = at;
    at += code == '\r' && at + 1 < b.size() && b[at + 1] == '\n' ? 2 : size;
    out.push_back(s.substr(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < b.size()) out.push_back(s.substr(begin));
  Budget::spend(out.size() * steps_per_string);
  return out;
}

namespace {

Text surrounded(const Text& s, std::size_t left, std::size_t right, const Text& fill) {
  if (unicode::length(fill.bytes()) != 1) throw Failure("the character to fill with must be one character");
  Budget::spend_text(s.size() + (left + right) * fill.size());
  Text out;
  for (std::size_t i = 0; i < left; ++i) out.append(fill);
  out.append(s);
  for (std::size_t i = 0; i < right; ++i) out.append(fill);
  return out;
}

// How many characters s lacks to the width.
std::size_t gap(const Text& s, Int width) {
  const Int have = static_cast<Int>(unicode::length(s.bytes()));
  return static_cast<std::size_t>(std::clamp<Int>(width - std::min(have, width), 0, Int{1} << 40));
}

}  // namespace

Text center(const Text& s, Int width, const Text& fill) {
  const std::size_t missing = gap(s, width);
  const std::size_t left = missing / 2 + (missing & static_cast<std::size_t>(width & 1));
  return surrounded(s, left, missing - left, fill);
}

Text justify(const Text& s, Int width, const Text& fill, Side text_at) {
  const std::size_t missing = gap(s, width);
  return text_at == Left ? surrounded(s, 0, missing, fill) : surrounded(s, missing, 0, fill);
}

Text expand_tabs(const Text& s, Int size) {
  Text out;
  Int column = 0;
  for (Characters c(s); c.more(); c.next()) {
    const auto [code, bytes] = c.current();
    if (code == '\t') {
      if (size <= 0) continue;
      const Int spaces = size - column % size;
      Budget::spend_text(static_cast<std::size_t>(std::min<Int>(spaces, Int{1} << 40)));
      out.append(std::string(static_cast<std::size_t>(spaces), ' '), c.trusted());
      column += spaces;
    } else {
      out.append(s, c.at(), bytes);
      column = code == '\n' || code == '\r' ? 0 : column + 1;
    }
  }
  Budget::spend_text(out.size());
  return out;
}

bool is_lower(std::string_view s) {
  bool any = false;
  for (std::size_t at = 0; at < s.size(); at += unicode::decode(s, at).size) {
    const CodePoint c = unicode::decode(s, at).code;
    if (unicode::is_upper(c) || unicode::is_title(c)) return false;
    any = any || unicode::is_lower(c);
  }
  return any;
}

bool is_upper(std::string_view s) {
  bool any = false;
  for (std::size_t at = 0; at < s.size(); at += unicode::decode(s, at).size) {
    const CodePoint c = unicode::decode(s, at).code;
    if (unicode::is_lower(c) || unicode::is_title(c)) return false;
    any = any || unicode::is_upper(c);
  }
  return any;
}

bool is_title(std::string_view s) {
  bool any = false, after_cased = false;
  for (std::size_t at = 0; at < s.size(); at += unicode::decode(s, at).size) {
    const CodePoint c = unicode::decode(s, at).code;
    const bool begins = unicode::is_upper(c) || unicode::is_title(c);
    const bool continues = unicode::is_lower(c);
    if ((begins && after_cased) || (continues && !after_cased)) return false;
    after_cased = begins || continues;
    any = any || after_cased;
  }
  return any;
}

Text reversed(const Text& s) {
  Budget::spend_text(s.size() * 8);
  const auto at = unicode::offsets(s.bytes());
  Text out;
  for (std::size_t i = at.size() - 1; i > 0; --i) out.append(s, at[i - 1], at[i] - at[i - 1]);
  return out;
}

Value to_list(std::vector<Text> parts, bool safe) {
  Values items;
  for (Text& part : parts) items.emplace_back(std::move(part), safe);
  return Value::list(std::move(items));
}

}  // namespace jinja::strings
