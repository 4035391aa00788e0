// A template's source cut into tokens: the text between tags, whitespace control applied, and what stands within tags.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "jinja/ast.h"

namespace jinja {

enum class TokenKind { Data, PrintBegin, PrintEnd, TagBegin, TagEnd, Name, String, Integer, Float, Operator, End };

struct Token {
  TokenKind kind;
  std::string text;  // of a string, its value; of an operator, its characters
  Position position;

  bool is(std::string_view op) const { return kind == TokenKind::Operator && text == op; }
  bool is_name(std::string_view name) const { return kind == TokenKind::Name && text == name; }
};

// The last token is an End. Fails with a base::Error that names the template and the position.
std::vector<Token> tokenize(std::string_view source, const std::string& name);

[[noreturn]] void fail_at(const std::string& name, Position position, std::string_view why,
                          std::string_view remedy = {});
// How a message names a token.
std::string describe(const Token& token);

}  // namespace jinja
