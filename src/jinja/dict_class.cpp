#include "jinja/dict_class.h"

#include "jinja/compare.h"
#include "jinja/failure.h"
#include "jinja/methods.h"
#include "jinja/python.h"

namespace jinja {
namespace {

// dict[arguments], a type to Python. To go through it gives one element: itself with a star, to be unpacked.
class DictType : public Object {
 public:
  DictType(Values arguments, bool starred)
      : Object(depth_of(arguments)), arguments_(std::move(arguments)), starred_(starred) {}

  std::string type_name() const override { return "types.GenericAlias"; }
  std::string repr() override {
    std::string out = starred_ ? "*dict[" : "dict[";
    if (arguments_.empty()) out.append("()");
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      const Value& v = arguments_[i];
      const bool is_dict = v.is(Value::Kind::Object) && dynamic_cast<DictClass*>(v.object().get()) != nullptr;
      out.append(i > 0 ? ", " : "").append(is_dict ? "dict" : jinja::repr(v));
    }
    return out + "]";
  }
  bool callable() const override { return true; }
  Value call(Interpreter& interpreter, const Args& args) override { return DictClass().call(interpreter, args); }
  std::optional<Value> attribute(std::string_view name) override { return DictClass().attribute(name); }
  bool iterable() const override { return true; }
  std::optional<Values> iterate() override { return Values{Value(std::make_shared<DictType>(arguments_, true))}; }
  bool equals(const Object& other) const override {
    const auto* type = dynamic_cast<const DictType*>(&other);
    return type != nullptr && starred_ == type->starred_ &&
           equal(Value::tuple(arguments_), Value::tuple(type->arguments_));
  }
  std::optional<std::size_t> hash() const override {
    const Value all = Value::tuple(arguments_);
    return is_hashable(all) ? std::optional(jinja::hash(all)) : std::nullopt;
  }

 private:
  Values arguments_;
  bool starred_;
};

Value function(std::string name, std::string_view type, Function::Body body) {
  return Value(std::make_shared<Function>(std::move(name), std::move(body), type));
}

}  // namespace

std::optional<Value> DictClass::attribute(std::string_view name) {
  const Method method = container_method(Value::Kind::Dict, name);
  if (method == nullptr) return std::nullopt;
  if (name == "fromkeys") {
    return function("fromkeys of type object", "built-in method",
                    [method](Interpreter&, const Args& args) { return method(Value::dict({}), args); });
  }
  // The first argument is the dict.
  return function(concat("'", name, "' of 'dict' objects"), "method",
                  [method, name = std::string(name)](Interpreter&, const Args& args) {
                    if (args.positional.empty() || !args.positional[0].is(Value::Kind::Dict)) {
                      throw Failure(concat("dict.", name, " was given no dict"),
                                    concat("expected one as in dict.", name, "({})"));
                    }
                    Args rest = args;
                    rest.positional.erase(rest.positional.begin());
                    return method(args.positional[0], rest);
                  });
}

std::optional<Value> DictClass::item(const Value& index) {
  return Value(std::make_shared<DictType>(index.is(Value::Kind::Tuple) ? index.items() : Values{index}, false));
}

}  // namespace jinja
