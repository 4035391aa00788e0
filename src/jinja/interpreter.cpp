#include "jinja/interpreter.h"

#include <algorithm>

#include "jinja/compare.h"
#include "jinja/failure.h"
#include "jinja/lexer.h"
#include "jinja/loop.h"
#include "jinja/python.h"

namespace jinja {

const Value* Scope::find(std::string_view name) const {
  for (const auto& [key, value] : variables) {
    if (key == name) return &value;
  }
  return nullptr;
}

void Scope::set(std::string_view name, Value value) {
  for (auto& [key, old] : variables) {
    if (key == name) {
      old = std::move(value);
      return;
    }
  }
  variables.emplace_back(name, std::move(value));
}

// A scope within the current one, for as long as this lives.
class Interpreter::Inner {
 public:
  explicit Inner(Interpreter& interpreter) : Inner(interpreter, interpreter.scope_) {}
  Inner(Interpreter& interpreter, std::shared_ptr<Scope> parent)
      : interpreter_(interpreter), outer_(std::move(interpreter.scope_)) {
    interpreter_.scope_ = std::make_shared<Scope>();
    interpreter_.scope_->parent = std::move(parent);
  }
  ~Inner() { interpreter_.scope_ = std::move(outer_); }
  Inner(const Inner&) = delete;
  Inner& operator=(const Inner&) = delete;

 private:
  Interpreter& interpreter_;
  std::shared_ptr<Scope> outer_;
};

Interpreter::~Interpreter() {
  for (const auto& scope : kept_scopes_) scope->variables.clear();
  for (const auto& object : kept_objects_) object->clear();
}

void Interpreter::keep_scope() {
  for (Scope* scope = scope_.get(); scope != nullptr && !scope->captured; scope = scope->parent.get()) {
    scope->captured = true;
    kept_scopes_.push_back(scope->shared_from_this());
  }
}

Text Interpreter::run(const Program& program, const Value& context) {
  program_ = &program;
  if (!context.is(Value::Kind::Dict)) fail_at(program.name, {}, "the context is not a dict", "give it an object");
  context_ = &context.dict();
  const Budget budget(options_.max_steps, options_.max_output);
  Text out;
  out_ = &out;
  try {
    const Inner top(*this, nullptr);
    top_ = scope_;
    execute(program.body);
  } catch (const Failure& failure) {
    fail_at(program_->name, here_, failure.why(), failure.remedy());
  }
  return out;
}

Interpreter::Flow Interpreter::execute(const Block& block) {
  for (const Statement& statement : block) {
    if (const Flow flow = execute(statement); flow != Flow::Normal) return flow;
  }
  return Flow::Normal;
}

Interpreter::Flow Interpreter::execute(const Statement& statement) {
  Budget::spend(1);
  here_ = statement.position;
  const Depth depth(*this);
  return std::visit([&](const auto& node) { return execute(node); }, statement.node);
}

Interpreter::Flow Interpreter::execute(const Data& n) {
  emit(n.text);
  return Flow::Normal;
}

Interpreter::Flow Interpreter::execute(const Print& n) {
  print(evaluate(*n.value));
  return Flow::Normal;
}

Interpreter::Flow Interpreter::execute(const If& n) {
  for (const auto& [condition, body] : n.branches) {
    if (truth(evaluate(*condition))) return execute(body);
  }
  return n.otherwise ? execute(*n.otherwise) : Flow::Normal;
}

Interpreter::Flow Interpreter::execute(const For& n) {
  run_loop(n, evaluate(*n.iterable), 0);
  return Flow::Normal;
}

Interpreter::Flow Interpreter::execute(const Set& n) {
  store(n.target, evaluate(*n.value));
  return Flow::Normal;
}

Interpreter::Flow Interpreter::execute(const SetBlock& n) {
  Value value(capture(n.body), escapes());
  if (n.filter != nullptr) value = filtered(*n.filter, value);
  store(n.target, std::move(value));
  return Flow::Normal;
}

Interpreter::Flow Interpreter::execute(const std::shared_ptr<MacroDefinition>& n) {
  keep_scope();
  scope_->set(n->name, Value(std::make_shared<Macro>(*n, *program_, scope_, escaping_)));
  return Flow::Normal;
}

Interpreter::Flow Interpreter::execute(const CallBlock& n) {
  const auto& call_node = std::get<Call>(n.call->node);
  const Value callee = evaluate(*call_node.callee);
  Args args = evaluate(call_node.arguments);
  keep_scope();
  args.named.emplace_back("caller", Value(std::make_shared<Macro>(n.caller, *program_, scope_, escaping_)));
  here_ = n.call->position;
  print(call(callee, args));
  return Flow::Normal;
}

Interpreter::Flow Interpreter::execute(const FilterBlock& n) {
  const Value result = filtered(*n.filter, Value(capture(n.body), escapes()));
  if (!result.is_string()) {
    throw Failure(concat("the filter block gave a value of type ", type_name(result), ", which is no text"));
  }
  print(result);
  return Flow::Normal;
}

Interpreter::Flow Interpreter::execute(const With& n) {
  Values values;
  for (const auto& [target, value] : n.values) values.push_back(evaluate(*value));
  const Inner inner(*this);
  for (std::size_t i = 0; i < values.size(); ++i) store(n.values[i].first, std::move(values[i]));
  return execute(n.body);
}

Interpreter::Flow Interpreter::execute(const Autoescape& n) {
  const Inner inner(*this);
  const bool before = std::exchange(autoescape_, truth(evaluate(*n.enabled)));
  const Escaping around = escaping_;
  if (escaping_ != Escaping::Asks)
    escaping_ = !n.is_constant ? Escaping::Asks : autoescape_ ? Escaping::On : Escaping::Off;
  const Flow flow = execute(n.body);
  escaping_ = around;
  if (flow == Flow::Normal) autoescape_ = before;  // break and continue skip this in jinja2, too
  return flow;
}

Interpreter::Flow Interpreter::execute(const Scoped& n) {
  const Inner inner(*this);
  return execute(n.body);
}

// jinja2 compiles a block like a template: it sees the template's variables, unless it is scoped not those of the
// blocks around it, and prints as the template does.
Interpreter::Flow Interpreter::execute(const NamedBlock& n) {
  const Inner inner(*this, n.scoped ? scope_ : top_);
  const Escaping around = std::exchange(escaping_, options_.autoescape ? Escaping::On : Escaping::Off);
  execute(n.body);
  escaping_ = around;
  return Flow::Normal;
}

Interpreter::Flow Interpreter::execute(const Include& n) {
  const Value wanted = evaluate(*n.name);
  const Template* found = nullptr;
  for (const Value& name : wanted.is_string() ? Values{wanted} : iterate(wanted)) {
    if (options_.loader && name.is_string()) found = options_.loader(name.text().bytes());
    if (found != nullptr) break;
  }
  if (found == nullptr) {
    if (n.ignore_missing) return Flow::Normal;
    throw Failure(concat("there is no template ", repr(wanted), " to include"));
  }
  const Program* outer = std::exchange(program_, found->program_.get());
  const Inner inner(*this, n.with_context ? scope_ : nullptr);
  const std::shared_ptr<Scope> outer_top = std::exchange(top_, scope_);
  execute(program_->body);
  top_ = outer_top;
  program_ = outer;
  return Flow::Normal;
}

Interpreter::Flow Interpreter::execute(const Break&) { return Flow::Break; }
Interpreter::Flow Interpreter::execute(const Continue&) { return Flow::Continue; }

Interpreter::Flow Interpreter::execute(const Unset& n) {
  for (const std::string& name : n.names) scope_->set(name, Value::undefined(concat(name, " is undefined")));
  return Flow::Normal;
}

// A loop may hold the scope around it, and that scope come to hold the loop: then it is cleared when the render ends.
namespace {
struct KeptIfHeld {
  Interpreter& interpreter;
  const std::shared_ptr<Loop>& loop;
  ~KeptIfHeld() {
    if (loop.use_count() > 1) interpreter.keep(loop);
  }
};
}  // namespace

// `level`: 0, or how many calls of `loop` this one is inside of.
void Interpreter::run_loop(const For& n, const Value& iterable, std::size_t level) {
  const std::shared_ptr<Scope> around = scope_;
  std::function<bool(const Value&)> wanted;
  if (n.condition != nullptr) {
    wanted = [this, &n, around](const Value& item) {
      const Inner inner(*this, around);
      store(n.target, item);
      return truth(evaluate(*n.condition));
    };
  }
  const auto loop = std::make_shared<Loop>(iterate(iterable), std::move(wanted), level);
  if (n.recursive) loop->allow_recursion(&n, around);
  const KeptIfHeld guard{*this, loop};
  // As jinja2 has it, `else` also runs where break or continue cut every iteration short.
  bool any = false;
  while (auto item = loop->next()) {
    Budget::spend(1);
    const Inner inner(*this, around);
    scope_->set("loop", Value(loop));
    store(n.target, *std::move(item));
    const Flow flow = execute(n.body);
    if (flow == Flow::Break) break;
    any = any || flow == Flow::Normal;
  }
  if (!any && !n.otherwise.empty()) {
    const Inner inner(*this);
    execute(n.otherwise);
  }
}

Value Interpreter::call_loop(const For& n, const std::shared_ptr<Scope>& scope, const Value& iterable,
                             std::size_t level) {
  const Depth depth(*this);
  Text out;
  Text* const before = std::exchange(out_, &out);
  {
    const Inner inner(*this, scope);
    run_loop(n, iterable, level);
  }
  out_ = before;
  return Value(std::move(out), escapes());
}

Value Interpreter::call_macro(const MacroDefinition& macro, const Program& program, const std::shared_ptr<Scope>& scope,
                              Escaping escaping, const Args& args) {
  const Depth depth(*this);
  const Position called_at = here_;
  const Program* const caller = std::exchange(program_, &program);
  const Escaping callers_escaping = std::exchange(escaping_, escaping);
  Text out;
  Text* const before = std::exchange(out_, &out);
  {
    const Inner inner(*this, scope);
    bind_parameters(macro, args);
    execute(macro.body);
  }
  out_ = before;
  program_ = caller;
  escaping_ = callers_escaping;
  here_ = called_at;
  return Value(std::move(out), autoescape_);
}

void Interpreter::bind_parameters(const MacroDefinition& macro, const Args& args) {
  std::vector<std::pair<std::string, Value>> named = args.named;
  const auto take = [&named](std::string_view name) -> std::optional<Value> {
    const auto found = std::find_if(named.begin(), named.end(), [&](const auto& n) { return n.first == name; });
    if (found == named.end()) return std::nullopt;
    Value value = std::move(found->second);
    named.erase(found);
    return value;
  };
  bool takes_caller = false;
  for (std::size_t i = 0; i < macro.parameters.size(); ++i) {
    const Parameter& parameter = macro.parameters[i];
    takes_caller = takes_caller || parameter.name == "caller";
    std::optional<Value> value;
    if (i < args.positional.size()) {
      value = args.positional[i];
    } else {
      value = take(parameter.name);
    }
    if (!value && parameter.fallback != nullptr) value = evaluate(*parameter.fallback);
    scope_->set(parameter.name, value ? *std::move(value)
                                      : Value::undefined(concat("parameter ", parameter.name, " was not provided")));
  }
  if (macro.reads_caller && !takes_caller) {
    scope_->set("caller", take("caller").value_or(Value::undefined("the macro was called without a call block")));
  }
  if (macro.reads_kwargs) {
    Dict rest;
    for (auto& [name, value] : named) rest.set(name, std::move(value));
    scope_->set("kwargs", Value::dict(std::move(rest)));
  } else if (!named.empty()) {
    throw Failure(concat("the macro ", macro.name, " has no parameter named ", named.front().first));
  }
  const std::size_t taken = std::min(args.positional.size(), macro.parameters.size());
  Values rest(args.positional.begin() + static_cast<std::ptrdiff_t>(taken), args.positional.end());
  if (macro.reads_varargs) {
    scope_->set("varargs", Value::tuple(std::move(rest)));
  } else if (!rest.empty()) {
    throw Failure(concat("the macro ", macro.name, " takes ", macro.parameters.size(), " arguments, but was given ",
                         args.positional.size()));
  }
}

Text Interpreter::capture(const Block& block) {
  Text out;
  Text* const before = std::exchange(out_, &out);
  {
    const Inner inner(*this);
    execute(block);
  }
  out_ = before;
  return out;
}

void Interpreter::store(const Target& target, Value value) {
  if (target.is_tuple) {
    Values items = iterate(value);
    if (items.size() != target.parts.size()) {
      throw Failure(concat(items.size(), " values cannot be taken apart into ", target.parts.size(), " names"),
                    "write as many names as there are values");
    }
    for (std::size_t i = 0; i < items.size(); ++i) store(target.parts[i], std::move(items[i]));
  } else if (target.attribute.empty()) {
    scope_->set(target.name, std::move(value));
  } else {
    const Value object = evaluate(Name{target.name}, here_);
    auto* members = object.is(Value::Kind::Object) ? dynamic_cast<Namespace*>(object.object().get()) : nullptr;
    if (members == nullptr) {
      throw Failure(concat(target.name, " is no namespace, so ", target.name, ".", target.attribute, " cannot be set"),
                    concat("make it by {% set ", target.name, " = namespace() %}"));
    }
    members->set(target.attribute, std::move(value));
  }
}

void Interpreter::print(const Value& value) {
  if (escapes() && !value.safe()) {
    emit(escape_html(str(value)));
  } else if (value.is_string()) {
    emit(value.text());
  } else {
    emit(str(value));
  }
}

void Interpreter::emit(const Text& text) {
  if (text.size() > options_.max_output - std::min(out_->size(), options_.max_output)) {
    throw Failure(concat("the template prints more than ", options_.max_output, " bytes"));
  }
  Budget::spend_text(text.size());
  out_->append(text);
}

}  // namespace jinja
