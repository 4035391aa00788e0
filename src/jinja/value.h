// The values of the template language, which are Python's: what a context is built from and what expressions yield.
// Lists, tuples and dicts cannot be changed once made (templates run in an immutable sandbox), so values share them.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "jinja/text.h"

namespace jinja {

class Dict;
class Object;
class Value;

__extension__ typedef __int128 Int;

using Values = std::vector<Value>;

constexpr std::size_t max_nesting = 200;

class Value {
 public:
  enum class Kind { Undefined, None, Bool, Integer, Float, String, List, Tuple, Dict, Object };

  Value() = default;               // undefined
  template <std::same_as<bool> B>  // not what a pointer would become
  Value(B b) : data_(b) {}
  Value(int i) : data_(Int{i}) {}
  Value(std::int64_t i) : data_(Int{i}) {}
  Value(std::size_t i) : data_(Int{i}) {}
  Value(Int i) : data_(i) {}
  Value(double x) : data_(x) {}
  Value(Text text, bool safe = false);
  template <class T>
  requires std::is_convertible_v<T*, Object*> Value(std::shared_ptr<T> object)
      : data_(std::shared_ptr<Object>(std::move(object))) {}

  static Value none() { return Value(None{}); }
  // An undefined value whose use fails with this reason.
  static Value undefined(std::string why);
  static Value input(std::string_view s) { return Text::from_input(std::string(s)); }
  static Value own(std::string_view s) { return Text::from_template(std::string(s)); }
  // Values nested deeper than max_nesting are an Error.
  static Value list(Values items);
  static Value tuple(Values items);
  static Value dict(Dict items);
  // All strings become input. An Error on nesting deeper than max_nesting.
  static Value from_json(const nlohmann::ordered_json& json);

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is(Kind k) const { return kind() == k; }
  bool is_undefined() const { return is(Kind::Undefined); }
  bool is_none() const { return is(Kind::None); }
  bool is_string() const { return is(Kind::String); }
  bool is_sequence() const { return is(Kind::List) || is(Kind::Tuple); }
  // int, float or bool, which Python counts as an int.
  bool is_number() const { return is(Kind::Integer) || is(Kind::Float) || is(Kind::Bool); }
  bool is_integer() const { return is(Kind::Integer) || is(Kind::Bool); }

  // Each requires the kind it names.
  bool boolean() const { return std::get<bool>(data_); }
  Int integer() const { return is(Kind::Bool) ? Int{boolean()} : std::get<Int>(data_); }
  double number() const { return is(Kind::Float) ? std::get<double>(data_) : static_cast<double>(integer()); }
  const Text& text() const { return std::get<String>(data_)->text; }
  bool safe() const { return is_string() && std::get<String>(data_)->safe; }  // markup that autoescape leaves alone
  const Values& items() const;                                                // of a list or tuple
  const Dict& dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }
  const std::shared_ptr<Object>& object() const { return std::get<std::shared_ptr<Object>>(data_); }
  const std::string& undefined_reason() const;

  // 0 for what holds no values, else 1 + the deepest element's.
  std::size_t depth() const;

 private:
  struct Undefined {
    std::shared_ptr<const std::string> why;
  };
  struct None {};
  struct StringData {
    Text text;
    bool safe;
  };
  struct SequenceData {
    Values items;
    std::size_t depth;
  };
  struct ListRef {
    std::shared_ptr<const SequenceData> data;
  };
  struct TupleRef {
    std::shared_ptr<const SequenceData> data;
  };
  using String = std::shared_ptr<const StringData>;
  using Data = std::variant<Undefined, None, bool, Int, double, String, ListRef, TupleRef, std::shared_ptr<const Dict>,
                            std::shared_ptr<Object>>;  // in the order of Kind

  explicit Value(Undefined data) : data_(std::move(data)) {}
  explicit Value(None data) : data_(data) {}
  explicit Value(ListRef data) : data_(std::move(data)) {}
  explicit Value(TupleRef data) : data_(std::move(data)) {}
  explicit Value(std::shared_ptr<const Dict> data) : data_(std::move(data)) {}

  Data data_;
};

// Keys in order of insertion, found by hash. A key is any value Python can hash.
class Dict {
 public:
  using Item = std::pair<Value, Value>;

  Dict();
  ~Dict();
  Dict(const Dict&);
  Dict(Dict&&) noexcept;
  Dict& operator=(const Dict&);
  Dict& operator=(Dict&&) noexcept;

  // Replaces the value of an equal key.
  void set(Value key, Value value);
  void set(std::string_view key, Value value) { set(Value::input(key), std::move(value)); }
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;

  const std::vector<Item>& items() const { return items_; }
  std::size_t size() const { return items_.size(); }
  std::size_t depth() const { return depth_; }

 private:
  std::size_t position(const Value& key, std::size_t hash) const;  // size() if absent
  void place(std::size_t i);                                       // puts items_[i] into a slot

  std::vector<Item> items_;
  std::vector<std::uint32_t> slots_;  // open addressing: index of items_ + 1, or 0
  std::vector<std::size_t> hashes_;   // of items_
  std::size_t depth_ = 1;
};

}  // namespace jinja
