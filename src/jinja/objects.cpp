#include "jinja/object.h"

#include <algorithm>

#include "jinja/compare.h"
#include "jinja/failure.h"
#include "jinja/operators.h"
#include "jinja/python.h"

namespace jinja {
namespace {

constexpr Int max_range = 100'000;  // the sandbox's
constexpr Int max_bound = Int{1} << 64;

}  // namespace

Bound::Bound(std::string_view function, const Args& args, std::initializer_list<std::string_view> parameters,
             std::size_t required)
    : function_(function), parameters_(parameters) {
  const bool by_position = !parameters_.empty() && parameters_.back() == "/";
  if (by_position) parameters_.pop_back();
  values_.resize(parameters_.size());
  if (args.positional.size() > parameters_.size()) {
    throw Failure(concat(function, " was given ", args.positional.size(), " arguments",
                         parameters_.empty() ? ", but takes none" : concat(", but takes ", parameters_.size())));
  }
  std::copy(args.positional.begin(), args.positional.end(), values_.begin());
  for (const auto& [name, value] : args.named) {
    const auto at = std::find(parameters_.begin(), parameters_.end(), name);
    if (at == parameters_.end()) throw Failure(concat(function, " has no parameter named ", name));
    if (by_position) throw Failure(concat(function, " does not take ", name, " by its name"), "give it by its place");
    auto& slot = values_[static_cast<std::size_t>(at - parameters_.begin())];
    if (slot) throw Failure(concat(function, " was given ", name, " twice"), "give it once");
    slot = value;
  }
  for (std::size_t i = 0; i < required; ++i) {
    if (!values_[i]) throw Failure(concat(function, " lacks its argument ", parameters_[i]), "give it");
  }
}

bool Bound::truth(std::size_t i, bool fallback) const { return has(i) ? jinja::truth(*values_[i]) : fallback; }

Int Bound::integer(std::size_t i, Int fallback) const {
  return has(i) ? as_integer(*values_[i], concat(function_, "'s ", parameters_[i])) : fallback;
}

Int Bound::machine_integer(std::size_t i, Int fallback, int bits) const {
  const Int value = integer(i, fallback), limit = Int{1} << (bits - 1);
  if (value >= limit || value < -limit)
    throw Failure(concat(function_, "'s ", parameters_[i], " does not fit into ", bits, " bits"),
                  "use a smaller number");
  return value;
}

Text Bound::text(std::size_t i, std::string_view fallback) const {
  if (!has(i)) return Text::from_template(std::string(fallback));
  const Value& v = *values_[i];
  if (v.is_string()) return v.text();
  if (v.is_undefined()) throw Failure(v.undefined_reason());
  throw Failure(
      concat(function_, "'s ", parameters_[i], " is of type ", type_name(v), ", where a string was expected"));
}

Object::Object(std::size_t depth) : depth_(depth) {
  if (depth > max_nesting) throw Failure("a value is nested more than 200 deep", "flatten it");
}

std::size_t depth_of(const Values& items) {
  std::size_t depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  return depth + 1;
}

Value Object::call(Interpreter&, const Args&) {
  throw Failure(concat("a value of type ", type_name(), " cannot be called"),
                "expected a function, a macro or a method");
}

std::string Function::repr() { return concat("<", type_, " ", name_, ">"); }

std::string Iterator::repr() { return concat("<", type_, " object>"); }

void Iterator::fill() {
  if (make_) items_ = std::exchange(make_, nullptr)();
}

std::optional<Value> Iterator::next() {
  fill();
  if (at_ >= items_.size()) return std::nullopt;
  return items_[at_++];
}

std::optional<Values> Iterator::iterate() {
  fill();
  Values rest = std::exchange(items_, {});
  rest.erase(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(std::exchange(at_, 0)));
  return rest;
}

std::string DictView::repr() { return concat(type_, "(", jinja::repr(Value::list(items_)), ")"); }

bool DictView::equals(const Object& other) const {
  const auto* view = dynamic_cast<const DictView*>(&other);
  if (view == nullptr || type_ == "dict_values" || view->type_ == "dict_values") return this == &other;
  return items_.size() == view->items_.size() && std::all_of(items_.begin(), items_.end(), [&](const Value& item) {
           return std::any_of(view->items_.begin(), view->items_.end(), [&](const Value& o) { return equal(item, o); });
         });
}

Range::Range(Int start, Int stop, Int step) : start_(start), stop_(stop), step_(step) {
  if (step == 0) throw Failure("range was given a step of zero", "expected a positive or a negative one");
  for (const Int bound : {start, stop, step}) {
    if (bound > max_bound || bound < -max_bound)
      throw Failure("range was given a number beyond 64 bits", "use smaller numbers");
  }
  const Int count = step > 0 ? (stop > start ? (stop - start - 1) / step + 1 : 0)
                             : (start > stop ? (start - stop - 1) / -step + 1 : 0);
  if (count > max_range) throw Failure("range has more than 100000 elements", "loop over fewer");
  Budget::spend(static_cast<std::size_t>(count));
  for (Int i = 0; i < count; ++i) items_.emplace_back(start + i * step);
}

std::string Range::repr() {
  std::string out = concat("range(", jinja::repr(start_), ", ", jinja::repr(stop_));
  if (step_ != 1) out.append(", ").append(jinja::repr(step_));
  return out + ")";
}

bool Range::equals(const Object& other) const {
  const auto* range = dynamic_cast<const Range*>(&other);
  return range != nullptr && equal(Value::list(items_), Value::list(range->items_));
}

std::optional<std::size_t> Range::hash() const { return jinja::hash(Value::tuple(items_)); }

std::optional<Value> Range::attribute(std::string_view name) {
  if (name == "start") return Value(start_);
  if (name == "stop") return Value(stop_);
  if (name == "step") return Value(step_);
  if (name != "count" && name != "index") return std::nullopt;
  const auto self = std::static_pointer_cast<Range>(shared_from_this());
  const auto body = [self, counts = name == "count"](Interpreter&, const Args& args) {
    Bound bound(counts ? "count" : "index", args, {"value", "/"}, 1);
    const auto found =
        std::find_if(self->items_.begin(), self->items_.end(), [&](const Value& v) { return equal(v, bound[0]); });
    if (counts) return Value(found == self->items_.end() ? 0 : 1);
    if (found == self->items_.end())
      throw Failure(concat(jinja::repr(bound[0]), " is not in the range"), "ask by in first");
    return Value(static_cast<Int>(found - self->items_.begin()));
  };
  return Value(std::make_shared<Function>(concat(name, " of range object"), body, "built-in method"));
}

Value Range::slice(const Value& start, const Value& stop, const Value& step) const {
  const Slice s = resolve_slice(items_.size(), start, stop, step);
  return Value(
      std::make_shared<Range>(start_ + s.start * step_, start_ + s.stop * step_, multiply_checked(step_, s.step)));
}

std::string Group::repr() { return jinja::repr(Value::tuple(items_)); }

std::optional<Value> Group::attribute(std::string_view name) {
  if (name == "grouper") return items_[0];
  if (name == "list") return items_[1];
  return std::nullopt;
}

std::string Namespace::repr() { return concat("<Namespace ", jinja::repr(Value::dict(members_)), ">"); }

std::optional<Value> Namespace::attribute(std::string_view name) {
  const Value* value = members_.find(name);
  return value == nullptr ? std::nullopt : std::optional<Value>(*value);
}

}  // namespace jinja
