#include "jinja/jinja.h"

#include "jinja/interpreter.h"
#include "jinja/lexer.h"
#include "jinja/parser.h"

namespace jinja {

Template Template::parse(std::string_view source, std::string name) {
  std::vector<Token> tokens = tokenize(source, name);
  return Template(Parser(std::move(tokens), std::move(name)).run());
}

Text Template::render(const nlohmann::ordered_json& context, const Options& options) const {
  return render(Value::from_json(context), options);
}

Text Template::render(const Value& context, const Options& options) const {
  return Interpreter(options).run(*program_, context);
}

const std::string& Template::name() const { return program_->name; }

bool Template::mentions(std::string_view name) const { return program_->mentioned.contains(std::string(name)); }

}  // namespace jinja
