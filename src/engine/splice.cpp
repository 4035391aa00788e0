#include "engine/splice.h"

#include <algorithm>
#include <string_view>

namespace engine {
namespace {

// One of two texts that are compared, as tokens.
class Side {
 public:
  Side(std::span<const Token> tokens, const smollm3::Tokenizer& tokenizer) : tokens_(tokens), tokenizer_(tokenizer) {
    load();
  }

  std::size_t index() const { return index_; }
  bool over() const { return index_ == tokens_.size(); }
  bool at_edge() const { return at_edge_; }
  Token token() const { return tokens_[index_]; }
  bool special() const { return tokenizer_.is_special(token()); }
  std::string_view left() const { return left_; }  // of the token's text

  void skip(std::size_t bytes) {
    left_.remove_prefix(bytes);
    at_edge_ = false;
    if (left_.empty()) next();
  }
  void next() {
    ++index_;
    load();
  }

 private:
  void load() {
    at_edge_ = true;
    if (!over()) left_ = tokenizer_.bytes(token());
  }

  std::span<const Token> tokens_;
  const smollm3::Tokenizer& tokenizer_;
  std::size_t index_ = 0;
  std::string_view left_;
  bool at_edge_ = true;
};

}  // namespace

Transcript splice(const Transcript& before, std::span<const Token> prompt, const smollm3::Tokenizer& tokenizer) {
  Side old(before.tokens(), tokenizer), now(prompt, tokenizer);
  std::size_t same_old = 0, same_now = 0;  // up to here
  while (true) {
    if (old.at_edge() && now.at_edge()) {
      same_old = old.index();
      same_now = now.index();
      if (old.over() || now.over()) break;
      if (old.token() == now.token()) {
        old.next();
        now.next();
        continue;
      }
    }
    if (old.over() || now.over() || old.special() || now.special()) break;
    const std::size_t count = std::min(old.left().size(), now.left().size());
    if (count == 0 || old.left().substr(0, count) != now.left().substr(0, count)) break;
    old.skip(count);
    now.skip(count);
  }
  Transcript spliced(before.salt());
  spliced.append(before, 0, same_old);
  spliced.append(prompt.subspan(same_now), /*generated=*/false);
  return spliced;
}

}  // namespace engine
