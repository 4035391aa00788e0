// A string that knows, byte by byte, which of it is trusted: written by the template's author rather than taken from
// the context it is rendered with. Every string of the language is one of these and so is the rendered result, so a
// caller can let the template's `<|im_end|>` end a turn and keep a user's `<|im_end|>` plain text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace jinja {

struct Fragment {
  std::string text;
  bool from_template;

  bool operator==(const Fragment&) const = default;
};

class Text {
 public:
  struct Range {
    std::size_t begin, end;  // bytes, half open

    bool operator==(const Range&) const = default;
  };

  Text() = default;
  static Text from_template(std::string bytes);
  static Text from_input(std::string bytes);

  const std::string& bytes() const { return bytes_; }
  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }

  // The trusted bytes: sorted, disjoint, never touching each other.
  const std::vector<Range>& trusted() const { return trusted_; }
  bool all_trusted() const { return trusted_.size() == 1 && trusted_[0].begin == 0 && trusted_[0].end == size(); }
  // Says that bytes [begin, end) may be treated as the template's own. Ranges are marked from left to right.
  void trust(std::size_t begin, std::size_t end);

  void append(const Text& other);
  void append(std::string_view bytes, bool from_template);
  // Bytes [begin, begin + length) of `other`, with their provenance.
  void append(const Text& other, std::size_t begin, std::size_t length);
  Text substr(std::size_t begin, std::size_t length = std::string::npos) const;

  // Longest stretches of one provenance, in order; their texts joined are bytes().
  std::vector<Fragment> fragments() const;

 private:
  std::string bytes_;
  std::vector<Range> trusted_;
};

}  // namespace jinja
