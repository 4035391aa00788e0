#include "jinja/value.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "jinja/compare.h"
#include "jinja/failure.h"
#include "jinja/object.h"

namespace jinja {
namespace {

constexpr std::size_t indexed_from = 9;  // below, a look through all keys is faster

std::size_t checked_depth(std::size_t depth) {
  if (depth > max_nesting) throw Failure("a value is nested more than 200 deep", "flatten it");
  return depth;
}

Value convert(const nlohmann::ordered_json& json, std::size_t level) {
  using Type = nlohmann::ordered_json::value_t;
  checked_depth(level);
  switch (json.type()) {
    case Type::boolean:
      return Value(json.get<bool>());
    case Type::number_integer:
      return Value(json.get<std::int64_t>());
    case Type::number_unsigned:
      return Value(Int{json.get<std::uint64_t>()});
    case Type::number_float:
      return Value(json.get<double>());
    case Type::string:
      return Value::input(json.get_ref<const std::string&>());
    case Type::array: {
      Values items;
      items.reserve(json.size());
      for (const auto& item : json) items.push_back(convert(item, level + 1));
      return Value::list(std::move(items));
    }
    case Type::object: {
      Dict dict;
      for (const auto& [key, value] : json.items()) dict.set(key, convert(value, level + 1));
      return Value::dict(std::move(dict));
    }
    default:
      return Value::none();
  }
}

}  // namespace

Value::Value(Text text, bool safe) : data_(std::make_shared<const StringData>(StringData{std::move(text), safe})) {
  Budget::spend_reading(this->text().size());
}

Value Value::undefined(std::string why) {
  return Value(Undefined{std::make_shared<const std::string>(std::move(why))});
}

Value Value::list(Values items) {
  Budget::spend(items.size());
  const std::size_t depth = checked_depth(depth_of(items));
  return Value(ListRef{std::make_shared<const SequenceData>(SequenceData{std::move(items), depth})});
}

Value Value::tuple(Values items) {
  Budget::spend(items.size());
  const std::size_t depth = checked_depth(depth_of(items));
  return Value(TupleRef{std::make_shared<const SequenceData>(SequenceData{std::move(items), depth})});
}

Value Value::dict(Dict items) {
  Budget::spend(2 * items.size());
  checked_depth(items.depth());
  return Value(std::shared_ptr<const Dict>(std::make_shared<Dict>(std::move(items))));
}

Value Value::from_json(const nlohmann::ordered_json& json) { return convert(json, 0); }

const Values& Value::items() const {
  return is(Kind::List) ? std::get<ListRef>(data_).data->items : std::get<TupleRef>(data_).data->items;
}

const std::string& Value::undefined_reason() const {
  static const std::string unknown = "the value is undefined";
  const auto& why = std::get<Undefined>(data_).why;
  return why ? *why : unknown;
}

std::size_t Value::depth() const {
  switch (kind()) {
    case Kind::List:
      return std::get<ListRef>(data_).data->depth;
    case Kind::Tuple:
      return std::get<TupleRef>(data_).data->depth;
    case Kind::Dict:
      return dict().depth();
    case Kind::Object:
      return object()->depth();
    default:
      return 0;
  }
}

Dict::Dict() = default;
Dict::~Dict() = default;
Dict::Dict(const Dict&) = default;
Dict::Dict(Dict&&) noexcept = default;
Dict& Dict::operator=(const Dict&) = default;
Dict& Dict::operator=(Dict&&) noexcept = default;

std::size_t Dict::position(const Value& key, std::size_t hash_of_key) const {
  if (slots_.empty()) {
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if (hashes_[i] == hash_of_key && equal(items_[i].first, key)) return i;
    }
    return items_.size();
  }
  for (std::size_t slot = hash_of_key;; ++slot) {
    const std::uint32_t entry = slots_[slot & (slots_.size() - 1)];
    if (entry == 0) return items_.size();
    if (hashes_[entry - 1] == hash_of_key && equal(items_[entry - 1].first, key)) return entry - 1;
  }
}

void Dict::place(std::size_t i) {
  std::size_t slot = hashes_[i];
  while (slots_[slot & (slots_.size() - 1)] != 0) ++slot;
  slots_[slot & (slots_.size() - 1)] = static_cast<std::uint32_t>(i + 1);
}

void Dict::set(Value key, Value value) {
  const std::size_t hash_of_key = hash(key);
  depth_ = std::max({depth_, key.depth() + 1, value.depth() + 1});
  const std::size_t at = position(key, hash_of_key);
  if (at < items_.size()) {
    items_[at].second = std::move(value);
    return;
  }
  items_.emplace_back(std::move(key), std::move(value));
  hashes_.push_back(hash_of_key);
  if (items_.size() < indexed_from) return;
  if (items_.size() * 2 > slots_.size()) {
    slots_.assign(std::max<std::size_t>(32, slots_.size() * 2), 0);
    for (std::size_t i = 0; i < items_.size(); ++i) place(i);
  } else {
    place(items_.size() - 1);
  }
}

const Value* Dict::find(const Value& key) const {
  const std::size_t at = position(key, hash(key));
  return at < items_.size() ? &items_[at].second : nullptr;
}

const Value* Dict::find(std::string_view key) const {
  if (slots_.empty()) {
    for (const auto& [k, v] : items_) {
      if (k.is_string() && k.text().bytes() == key) return &v;
    }
    return nullptr;
  }
  return find(Value::input(key));
}

}  // namespace jinja
