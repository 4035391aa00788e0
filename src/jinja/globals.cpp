#include <map>

#include "jinja/dict_class.h"
#include "jinja/failure.h"
#include "jinja/interpreter.h"
#include "jinja/python.h"
#include "jinja/strftime.h"

namespace jinja {
namespace {

using Kind = Value::Kind;

Value range(Interpreter&, const Args& args) {
  Bound bound("range", args, {"start", "stop", "step", "/"}, 1);
  const Int first = bound.integer(0, 0);
  if (!bound.has(1)) return Value(std::make_shared<Range>(0, first, 1));
  return Value(std::make_shared<Range>(first, bound.integer(1, 0), bound.integer(2, 1)));
}

}  // namespace

Dict members(std::string_view function, const Args& args) {
  Dict out;
  if (args.positional.size() > 1) throw Failure(concat(function, " takes one positional argument at most"));
  if (!args.positional.empty()) {
    const Value& from = args.positional[0];
    if (from.is_undefined()) throw Failure(from.undefined_reason());
    if (from.is(Kind::Dict)) {
      out = from.dict();
    } else {
      for (const Value& item : iterate(from)) {
        const Values pair = iterate(item);
        if (pair.size() != 2) throw Failure(concat(function, " wants pairs of keys and values"));
        out.set(pair[0], pair[1]);
      }
    }
  }
  for (const auto& [name, value] : args.named) out.set(name, value);
  return out;
}

namespace {

Value make_namespace(Interpreter& interpreter, const Args& args) {
  auto object = std::make_shared<Namespace>(members("namespace", args));
  interpreter.keep(object);
  return Value(std::move(object));
}

// Goes round and round through its values.
class Cycler : public Object {
 public:
  explicit Cycler(Values items) : Object(depth_of(items)), items_(std::move(items)) {}

  std::string type_name() const override { return "Cycler"; }
  std::string repr() override { return "<jinja2.utils.Cycler object>"; }
  std::optional<Value> attribute(std::string_view name) override {
    if (name == "items") return Value::tuple(items_);
    if (name == "pos") return Value(at_);
    if (name == "current") return items_[at_];
    const auto self = std::static_pointer_cast<Cycler>(shared_from_this());
    const auto method = [&](auto step) {
      return Value(std::make_shared<Function>(
          std::string(name), [self, step](Interpreter&, const Args&) { return step(*self); }, "bound method",
          depth() + 1));
    };
    if (name == "next")
      return method([](Cycler& c) { return c.items_[std::exchange(c.at_, (c.at_ + 1) % c.items_.size())]; });
    if (name == "reset") return method([](Cycler& c) { return c.at_ = 0, Value::none(); });
    return std::nullopt;
  }

 private:
  Values items_;
  std::size_t at_ = 0;
};

Value cycler(Interpreter&, const Args& args) {
  if (args.positional.empty() || !args.named.empty()) throw Failure("cycler wants values to cycle through");
  return Value(std::make_shared<Cycler>(args.positional));
}

// Nothing when it is called first, then the separator.
class Joiner : public Object {
 public:
  explicit Joiner(Value separator) : Object(separator.depth() + 1), separator_(std::move(separator)) {}

  std::string type_name() const override { return "Joiner"; }
  std::string repr() override { return "<jinja2.utils.Joiner object>"; }
  bool callable() const override { return true; }
  Value call(Interpreter&, const Args&) override { return std::exchange(used_, true) ? separator_ : Value::own(""); }

 private:
  Value separator_;
  bool used_ = false;
};

Value joiner(Interpreter&, const Args& args) {
  Bound bound("joiner", args, {"sep"});
  return Value(std::make_shared<Joiner>(bound.get(0, Value::own(", "))));
}

Value raise_exception(Interpreter&, const Args& args) {
  Bound bound("raise_exception", args, {"message"}, 1);
  throw Failure(concat("the template refuses this: ", str(bound[0]).bytes()));
}

Value strftime_now(Interpreter& interpreter, const Args& args) {
  Bound bound("strftime_now", args, {"format"}, 1);
  const auto& options = interpreter.options();
  return Value(Text::from_input(format_time(options.now ? *options.now : local_now(), bound.text(0, "").bytes())));
}

}  // namespace

const Value* global(std::string_view name) {
  struct Entry {
    const char* name;
    Value (*function)(Interpreter&, const Args&);
    const char* class_name = nullptr;  // of what it makes, where Python has a class and not a function
  };
  static const std::map<std::string_view, Value> globals = [] {
    std::map<std::string_view, Value> out = {{"dict", Value(std::make_shared<DictClass>())}};
    for (const Entry& e : std::initializer_list<Entry>{{"range", range},
                                                       {"namespace", make_namespace, "'jinja2.utils.Namespace'"},
                                                       {"cycler", cycler, "'jinja2.utils.Cycler'"},
                                                       {"joiner", joiner, "'jinja2.utils.Joiner'"},
                                                       {"raise_exception", raise_exception},
                                                       {"strftime_now", strftime_now}}) {
      const bool is_class = e.class_name != nullptr;
      out.emplace(e.name, Value(std::make_shared<Function>(is_class ? e.class_name : e.name, e.function,
                                                           is_class ? "class" : "function")));
    }
    return out;
  }();
  const auto found = globals.find(name);
  return found == globals.end() ? nullptr : &found->second;
}

}  // namespace jinja
