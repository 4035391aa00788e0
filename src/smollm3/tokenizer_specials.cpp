#include "smollm3/tokenizer_specials.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "base/error.h"

namespace smollm3 {
namespace {

// Names that begin and overlap one another could make a text cost many times its length in time and memory. Those of
// real models do not: a byte of text is looked at about twice and is in one match at most.
constexpr std::size_t kMostSteps = 16;  // for each byte of text
constexpr std::size_t kSpare = 4096;

}  // namespace

SpecialNames::SpecialNames(const Vocabulary& vocabulary, const std::string& file) {
  const auto fail = [&](Token first, Token second) {
    throw base::Error(file,
                      "tokens " + std::to_string(first) + " and " + std::to_string(second) + " have the same name",
                      "convert the model again or download another file");
  };
  for (Token token = 0; token < static_cast<Token>(vocabulary.size()); ++token) {
    const TokenKind kind = vocabulary.kind(token);
    if (kind != TokenKind::Control && kind != TokenKind::UserDefined && kind != TokenKind::Unknown) continue;
    const std::string_view name = vocabulary.bytes(token);
    if (const Token normal = vocabulary.find(name); normal >= 0) fail(normal, token);
    names_.push_back({name, token});
    starts_a_name_[static_cast<unsigned char>(name.front())] = true;
  }
  std::sort(names_.begin(), names_.end(),
            [](const Name& a, const Name& b) { return std::tie(a.text, a.token) < std::tie(b.text, b.token); });
  for (std::size_t i = 1; i < names_.size(); ++i) {
    if (names_[i - 1].text == names_[i].text) fail(names_[i - 1].token, names_[i].token);
  }
}

Token SpecialNames::find(std::string_view name) const {
  const auto at = std::lower_bound(names_.begin(), names_.end(), name,
                                   [](const Name& a, std::string_view text) { return a.text < text; });
  return at != names_.end() && at->text == name ? at->token : -1;
}

void SpecialNames::all_matches(std::string_view text, std::size_t begin, std::size_t end,
                               std::vector<SpecialMatch>& out) const {
  const std::size_t most_matches = end - begin + kSpare;
  std::size_t steps = kMostSteps * (end - begin) + kSpare;
  for (std::size_t at = begin; at < end; ++at) {
    if (!starts_a_name_[static_cast<unsigned char>(text[at])]) continue;
    // The names that agree with the text so far, narrowed byte by byte; one that ends there is the first of them.
    auto low = names_.begin();
    auto high = names_.end();
    for (std::size_t depth = 0; at + depth < end && low != high; ++depth) {
      if (steps-- == 0 || out.size() > most_matches) {
        throw base::Error("prompt", "the names of the model's special tokens lie within one another too often",
                          "the file is made to cost time; use another");
      }
      const auto byte = static_cast<unsigned char>(text[at + depth]);
      low = std::lower_bound(low, high, byte, [&](const Name& name, unsigned char wanted) {
        return name.text.size() <= depth || static_cast<unsigned char>(name.text[depth]) < wanted;
      });
      high = std::upper_bound(low, high, byte, [&](unsigned char wanted, const Name& name) {
        return wanted < static_cast<unsigned char>(name.text[depth]);
      });
      if (low != high && low->text.size() == depth + 1) out.push_back({at, at + depth + 1, low->token});
    }
  }
}

void SpecialNames::match(std::string_view text, std::size_t begin, std::size_t end,
                         std::vector<SpecialMatch>& out) const {
  std::vector<SpecialMatch> matches;
  all_matches(text, begin, end, matches);
  const bool overlap = std::adjacent_find(matches.begin(), matches.end(), [](const auto& a, const auto& b) {
                         return b.begin < a.end;
                       }) != matches.end();
  if (overlap) {
    std::sort(matches.begin(), matches.end(), [](const SpecialMatch& a, const SpecialMatch& b) {
      return std::tuple(b.end - b.begin, a.token, a.begin) < std::tuple(a.end - a.begin, b.token, b.begin);
    });
    std::vector<bool> taken(end - begin);
    std::vector<SpecialMatch> chosen;
    for (const SpecialMatch& m : matches) {
      // Every match chosen before is at least as long, so it covers an end of this one if they overlap.
      if (taken[m.begin - begin] || taken[m.end - 1 - begin]) continue;
      for (std::size_t i = m.begin; i < m.end; ++i) taken[i - begin] = true;
      chosen.push_back(m);
    }
    matches = std::move(chosen);
    std::sort(matches.begin(), matches.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
  }
  out.insert(out.end(), matches.begin(), matches.end());
}

}  // namespace smollm3
