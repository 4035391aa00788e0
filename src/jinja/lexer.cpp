#include "jinja/lexer.h"

#include <algorithm>
#include <array>

#include "base/utf8.h"
#include "jinja/failure.h"
#include "jinja/python.h"
#include "jinja/unicode.h"

namespace jinja {
namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r') || (c >= '\x1C' && c <= '\x1F'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f'); }
bool starts_name(char c) { return c == '_' || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c & 0x80) != 0; }
bool continues_name(char c) { return starts_name(c) || is_digit(c); }

// Every kind of line end becomes \n, and a last one is dropped.
std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out.push_back(source[i]);
    } else if (i + 1 == source.size() || source[i + 1] != '\n') {
      out.push_back('\n');
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& name) : name_(name), source_(normalized(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) text_and_tag();
    put(TokenKind::End, {}, at_);
    return std::move(tokens_);
  }

 private:
  // --- positions ------------------------------------------------------------------------------------------------

  // Asked for in ascending order, but for errors.
  Position position(std::size_t at) {
    if (at < counted_) {
      counted_ = line_start_ = 0;
      line_ = 1;
    }
    for (; counted_ < at; ++counted_) {
      if (source_[counted_] == '\n') {
        ++line_;
        line_start_ = counted_ + 1;
      }
    }
    return {line_, static_cast<std::uint32_t>(at - line_start_ + 1)};
  }

  [[noreturn]] void fail(std::size_t at, std::string_view why, std::string_view remedy = {}) {
    fail_at(name_, position(std::min(at, source_.size())), why, remedy);
  }

  void put(TokenKind kind, std::string text, std::size_t at) {
    tokens_.push_back({kind, std::move(text), position(at)});
  }

  bool looking_at(std::size_t at, std::string_view s) const {
    return std::string_view(source_).substr(at).starts_with(s);
  }

  std::size_t skip_space(std::size_t at) const {
    while (at < source_.size()) {
      if (is_space(source_[at])) {
        ++at;
      } else if ((source_[at] & 0x80) != 0 && unicode::is_space(unicode::decode(source_, at).code)) {
        at += unicode::decode(source_, at).size;
      } else {
        break;
      }
    }
    return at;
  }

  // --- text between tags ----------------------------------------------------------------------------------------

  // What follows the opening of a tag decides what of the text before it goes: all whitespace ("-"), nothing ("+"), or
  // the whitespace between the start of the line and the tag, unless the tag prints.
  void put_text(std::size_t begin, std::size_t end, char control, bool prints) {
    if (control == '-') {
      end = begin + trimmed_right(std::string_view(source_).substr(begin, end - begin));
    } else if (control != '+' && !prints) {
      std::size_t line = end;
      while (line > begin && source_[line - 1] != '\n') --line;
      const bool at_line_start = line > begin || begin == 0 || source_[begin - 1] == '\n';
      if (at_line_start && line < end && skip_space(line) >= end) end = line;
    }
    if (end > begin) put(TokenKind::Data, source_.substr(begin, end - begin), begin);
  }

  static std::size_t trimmed_right(std::string_view s) {
    std::size_t end = s.size();
    while (end > 0) {
      const std::size_t start = base::utf8::last_start(s.substr(0, end));
      if (!unicode::is_space(unicode::decode(s, start).code)) break;
      end = start;
    }
    return end;
  }

  char control_at(std::size_t at) const {
    return at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at] : '\0';
  }

  // Past the end of a tag whose closing starts at `at` with an optional sign: "-" takes the whitespace that follows,
  // nothing takes one line end (of tags that do not print), "+" keeps it.
  std::size_t past_end(std::size_t at, std::string_view closing, bool prints) const {
    const char control = looking_at(at, closing) ? '\0' : source_[at];
    at += closing.size() + (control != '\0' ? 1 : 0);
    if (control == '-') return skip_space(at);
    if (control == '\0' && !prints && at < source_.size() && source_[at] == '\n') ++at;
    return at;
  }

  bool closes(std::size_t at, std::string_view closing, std::string_view signs) const {
    if (looking_at(at, closing)) return true;
    return at < source_.size() && signs.find(source_[at]) != std::string_view::npos && looking_at(at + 1, closing);
  }

  void text_and_tag() {
    const std::size_t begin = at_;
    std::size_t open = source_.find('{', begin);
    while (open != std::string::npos &&
           (open + 1 == source_.size() || std::string_view("{%#").find(source_[open + 1]) == std::string_view::npos)) {
      open = source_.find('{', open + 1);
    }
    if (open == std::string::npos) {
      put_text(begin, source_.size(), '+', true);
      at_ = source_.size();
      return;
    }
    const char kind = source_[open + 1];
    const char control = control_at(open + 2);
    put_text(begin, open, control, kind == '{');
    at_ = open + 2 + (control != '\0' ? 1 : 0);
    if (kind == '#') {
      comment(open);
    } else if (kind == '%' && is_raw()) {
      raw(open);
    } else {
      tag(open, kind == '{');
    }
  }

  // As jinja2 has it, a comment or a raw block opened at the very end need not be closed.
  bool ends_source(std::size_t at) {
    if (at == source_.size()) at_ = at;
    return at_ == source_.size();
  }

  void comment(std::size_t open) {
    if (ends_source(at_)) return;
    const std::size_t end = source_.find("#}", at_);
    if (end == std::string::npos) fail(open, "a comment is not closed", "write #} at its end");
    // A sign before the closing belongs to it, unless it is that of the opening: {#-#}.
    const bool has_sign = end > at_ && (source_[end - 1] == '-' || source_[end - 1] == '+');
    at_ = past_end(has_sign ? end - 1 : end, "#}", false);
  }

  // Within {% : the word raw and nothing else.
  bool is_raw() const {
    std::size_t at = skip_space(at_);
    if (!looking_at(at, "raw")) return false;
    at = skip_space(at + 3);
    return closes(at, "%}", "-");
  }

  void raw(std::size_t open) {
    const std::size_t word_end = skip_space(skip_space(at_) + 3);
    const std::size_t begin = source_[word_end] == '-' ? skip_space(word_end + 3) : word_end + 2;
    if (ends_source(begin)) return;
    for (std::size_t end = source_.find("{%", begin); end != std::string::npos; end = source_.find("{%", end + 2)) {
      const char control = control_at(end + 2);
      std::size_t at = skip_space(end + 2 + (control != '\0' ? 1 : 0));
      if (!looking_at(at, "endraw")) continue;
      at = skip_space(at + 6);
      if (!closes(at, "%}", "-+")) continue;
      put_text(begin, end, control, false);
      at_ = past_end(at, "%}", false);
      return;
    }
    fail(open, "a raw block is not closed", "write {% endraw %} at its end");
  }

  // --- inside tags ----------------------------------------------------------------------------------------------

  void tag(std::size_t open, bool prints) {
    const std::string_view closing = prints ? "}}" : "%}";
    put(prints ? TokenKind::PrintBegin : TokenKind::TagBegin, {}, open);
    std::string brackets;
    for (;;) {
      at_ = skip_space(at_);
      if (at_ >= source_.size()) {
        fail(open, "a tag is not closed", concat("write ", closing, " at its end"));
      }
      if (brackets.empty() && closes(at_, closing, prints ? "-" : "-+")) {
        put(prints ? TokenKind::PrintEnd : TokenKind::TagEnd, {}, at_);
        at_ = past_end(at_, closing, prints);
        return;
      }
      const char c = source_[at_];
      if (is_digit(c)) {
        number();
      } else if (starts_name(c)) {
        word();
      } else if (c == '"' || c == '\'') {
        string();
      } else {
        symbol(brackets);
      }
    }
  }

  void word() {
    const std::size_t begin = at_;
    while (at_ < source_.size() && continues_name(source_[at_])) {
      const auto [code, size] = unicode::decode(source_, at_);
      if (at_ > begin && unicode::is_space(code)) break;
      const bool fits = at_ == begin ? unicode::is_identifier_start(code) : unicode::is_identifier_part(code);
      if (code >= 0x80 && !fits) fail(at_, "this character cannot be part of a name");
      at_ += size;
    }
    put(TokenKind::Name, source_.substr(begin, at_ - begin), begin);
  }

  // Digits from `at`, with single underscores between them; returns the end.
  template <class IsDigit>
  std::size_t digits(std::size_t at, const IsDigit& is) const {
    while (at < source_.size() && (is(source_[at]) || (source_[at] == '_' && at + 1 < source_.size() &&
                                                       is(source_[at + 1]) && source_[at - 1] != '_'))) {
      ++at;
    }
    return at;
  }

  void number() {
    const std::size_t begin = at_;
    const char second = begin + 1 < source_.size() ? static_cast<char>(source_[begin + 1] | 32) : '\0';
    TokenKind kind = TokenKind::Integer;
    if (source_[begin] == '0' && (second == 'x' || second == 'o' || second == 'b')) {
      at_ = digits(begin + 2, [second](char c) {
        return second == 'x' ? is_hex(c) : second == 'o' ? c >= '0' && c <= '7' : c == '0' || c == '1';
      });
      if (at_ == begin + 2) at_ = begin + 1;  // a zero followed by a name
    } else {
      at_ = digits(begin, is_digit);
      // After a point only an integer can follow: the index of `x.1.2`.
      const bool is_index = begin > 0 && source_[begin - 1] == '.';
      std::size_t end = at_;
      if (!is_index && end + 1 < source_.size() && source_[end] == '.' && is_digit(source_[end + 1])) {
        end = digits(end + 1, is_digit);
      }
      if (!is_index && end < source_.size() && (source_[end] | 32) == 'e') {
        const bool sign = end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-');
        const std::size_t exponent = end + (sign ? 2 : 1);
        if (exponent < source_.size() && is_digit(source_[exponent])) end = digits(exponent, is_digit);
      }
      if (end > at_) {
        kind = TokenKind::Float;
        at_ = end;
      } else if (source_[begin] == '0') {
        // Python's integers have no leading zeros.
        at_ = digits(begin, [](char c) { return c == '0'; });
      }
    }
    std::string text = source_.substr(begin, at_ - begin);
    text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
    put(kind, std::move(text), begin);
  }

  void string() {
    const std::size_t begin = at_;
    const char quote = source_[at_++];
    std::string value;
    while (at_ < source_.size() && source_[at_] != quote) {
      if (source_[at_] == '\\') {
        escape(value);
      } else {
        value.push_back(source_[at_++]);
      }
    }
    if (at_ >= source_.size()) fail(begin, "a string is not closed", "write its quote again at its end");
    ++at_;
    put(TokenKind::String, std::move(value), begin);
  }

  unicode::CodePoint hex(std::size_t begin, std::size_t count) {
    unicode::CodePoint code = 0;
    for (std::size_t i = begin; i < begin + count; ++i) {
      if (i >= source_.size() || !is_hex(source_[i])) {
        fail(begin, concat("an escape in a string wants ", count, " hexadecimal digits"));
      }
      const char c = source_[i];
      code = code << 4 | static_cast<unicode::CodePoint>(is_digit(c) ? c - '0' : (c | 32) - 'a' + 10);
    }
    return code;
  }

  void escape(std::string& out) {
    const std::size_t begin = at_++;
    if (at_ >= source_.size()) return;
    const char c = source_[at_++];
    constexpr std::string_view letters = "abfnrtv\\'\"";
    constexpr std::string_view meanings = "\a\b\f\n\r\t\v\\'\"";
    if (const std::size_t meaning = letters.find(c); meaning != std::string_view::npos) {
      out.push_back(meanings[meaning]);
    } else if (c == '\n') {
      // A line may be continued.
    } else if (c >= '0' && c <= '7') {
      unicode::CodePoint code = static_cast<unicode::CodePoint>(c - '0');
      for (int i = 0; i < 2 && at_ < source_.size() && source_[at_] >= '0' && source_[at_] <= '7'; ++i) {
        code = code << 3 | static_cast<unicode::CodePoint>(source_[at_++] - '0');
      }
      unicode::append(out, code);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const std::size_t count = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      const unicode::CodePoint code = hex(at_, count);
      if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        fail(begin, "an escape in a string names no character");
      unicode::append(out, code);
      at_ += count;
    } else if (c == 'N') {
      fail(begin, "characters cannot be named by \\N here", "write the character itself");
    } else {
      out.push_back('\\');
      --at_;
      const auto [code, size] = unicode::decode(source_, at_);
      // jinja2 escapes what is not ASCII before it reads the escapes, and so turns \é into \xe9.
      const std::string escaped = ascii(Value::input(std::string_view(source_).substr(at_, size)));
      out.append(code < 0x80 ? source_.substr(at_, size) : escaped.substr(2, escaped.size() - 3));
      at_ += size;
    }
  }

  void symbol(std::string& brackets) {
    constexpr std::array<std::string_view, 6> pairs = {"//", "**", "==", "!=", ">=", "<="};
    const std::string_view two = std::string_view(source_).substr(at_, 2);
    const char c = source_[at_];
    if (std::find(pairs.begin(), pairs.end(), two) != pairs.end()) {
      put(TokenKind::Operator, std::string(two), at_);
      at_ += 2;
      return;
    }
    if (std::string_view("+-/*%~[](){}><=.:|,;").find(c) == std::string_view::npos) {
      const std::string_view shown = std::string_view(source_).substr(at_, unicode::decode(source_, at_).size);
      fail(at_, concat("the character ", repr(shown), " has no meaning in a tag"),
           "expected a name, a number, a string or an operator");
    }
    if (c == '(' || c == '[' || c == '{') {
      brackets.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    } else if (c == ')' || c == ']' || c == '}') {
      if (brackets.empty()) fail(at_, concat("unexpected ", std::string_view(&c, 1)), "remove it or open it first");
      if (brackets.back() != c) {
        fail(at_, concat("unexpected ", std::string_view(&c, 1)),
             concat("expected ", std::string_view(&brackets.back(), 1)));
      }
      brackets.pop_back();
    }
    put(TokenKind::Operator, std::string(1, c), at_);
    ++at_;
  }

  const std::string& name_;
  std::string source_;
  std::size_t at_ = 0;
  std::size_t counted_ = 0, line_start_ = 0;
  std::uint32_t line_ = 1;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, const std::string& name) { return Lexer(source, name).run(); }

void fail_at(const std::string& name, Position position, std::string_view why, std::string_view remedy) {
  throw base::Error(concat(name, ":", position.line, ":", position.column), why, remedy);
}

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::Data:
      return "text";
    case TokenKind::PrintBegin:
      return "{{";
    case TokenKind::PrintEnd:
      return "}}";
    case TokenKind::TagBegin:
      return "{%";
    case TokenKind::TagEnd:
      return "%}";
    case TokenKind::String:
      return concat("the string ", repr(std::string_view(token.text)));
    case TokenKind::End:
      return "the end of the template";
    default:
      return concat("'", token.text, "'");
  }
}

}  // namespace jinja
