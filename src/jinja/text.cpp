#include "jinja/text.h"

#include <algorithm>

namespace jinja {

Text Text::from_template(std::string bytes) {
  Text text;
  text.bytes_ = std::move(bytes);
  text.trust(0, text.size());
  return text;
}

Text Text::from_input(std::string bytes) {
  Text text;
  text.bytes_ = std::move(bytes);
  return text;
}

void Text::trust(std::size_t begin, std::size_t end) {
  if (begin >= end) return;
  if (!trusted_.empty() && trusted_.back().end >= begin) {
    trusted_.back().end = std::max(trusted_.back().end, end);
  } else {
    trusted_.push_back({begin, end});
  }
}

void Text::append(const Text& other) { append(other, 0, other.size()); }

void Text::append(std::string_view bytes, bool from_template) {
  const std::size_t begin = size();
  bytes_.append(bytes);
  if (from_template) trust(begin, size());
}

void Text::append(const Text& other, std::size_t begin, std::size_t length) {
  const std::size_t end = begin + length;
  const std::size_t at = size();
  bytes_.append(other.bytes_, begin, length);
  auto range = std::upper_bound(other.trusted_.begin(), other.trusted_.end(), begin,
                                [](std::size_t position, const Range& r) { return position < r.end; });
  for (; range != other.trusted_.end() && range->begin < end; ++range) {
    trust(at + std::max(range->begin, begin) - begin, at + std::min(range->end, end) - begin);
  }
}

Text Text::substr(std::size_t begin, std::size_t length) const {
  Text part;
  part.append(*this, begin, std::min(length, size() - begin));
  return part;
}

std::vector<Fragment> Text::fragments() const {
  std::vector<Fragment> out;
  out.reserve(2 * trusted_.size() + 1);
  std::size_t at = 0;
  const auto put = [&](std::size_t end, bool from_template) {
    if (end > at) out.push_back({bytes_.substr(at, end - at), from_template});
    at = end;
  };
  for (const Range& range : trusted_) {
    put(range.begin, false);
    put(range.end, true);
  }
  put(size(), false);
  return out;
}

}  // namespace jinja
