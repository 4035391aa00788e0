// The template language of chat templates and of the web pages: jinja2 3.1 as Hugging Face's transformers sets it up
// (trim_blocks, lstrip_blocks, break and continue, `generation`, raise_exception, strftime_now, a tojson without HTML
// escapes, an immutable sandbox). Templates are untrusted: steps, depth and size are bounded, and every failure is a
// base::Error that names the template, the line and the column.
//
// Where it stops short of Python: integers are 128 bits wide and overflow is an error; `import`, `extends` and the
// filters `random`, `urlize` and `pprint` are refused.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "jinja/text.h"
#include "jinja/value.h"

namespace jinja {

class Template;
struct Program;

struct Options {
  // What strftime_now() tells; the system's local time if absent.
  std::optional<std::chrono::local_seconds> now;
  // For HTML: what `{{ }}` prints is escaped unless it went through `| safe`.
  bool autoescape = false;
  // Finds the template of `{% include "name" %}`; nullptr if there is none of that name. It must outlive the call.
  std::function<const Template*(std::string_view name)> loader;
  // A step is one node evaluated or 16 bytes copied.
  std::size_t max_steps = 10'000'000;
  // Of nested expressions, blocks and macro calls.
  std::size_t max_depth = 300;
  std::size_t max_output = 16 << 20;  // bytes; no text made on the way may be longer either
};

class Template {
 public:
  // Throws base::Error if the source is not a template. `name` is for messages.
  static Template parse(std::string_view source, std::string name);

  // `context` is a JSON object: its members are the template's variables, and all its strings count as input.
  Text render(const nlohmann::ordered_json& context, const Options& options = {}) const;
  // `context` is a dict value, whose strings may carry provenance of their own.
  Text render(const Value& context, const Options& options = {}) const;

  const std::string& name() const;
  // Whether an expression reads a variable, an attribute or an item of this name.
  bool mentions(std::string_view name) const;

 private:
  explicit Template(std::shared_ptr<const Program> program) : program_(std::move(program)) {}

  friend class Interpreter;
  std::shared_ptr<const Program> program_;
};

}  // namespace jinja
