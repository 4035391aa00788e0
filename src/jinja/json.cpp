#include <algorithm>
#include <cmath>

#include "jinja/compare.h"
#include "jinja/failure.h"
#include "jinja/object.h"
#include "jinja/python.h"
#include "jinja/unicode.h"

namespace jinja {
namespace {

using Kind = Value::Kind;

class Writer {
 public:
  explicit Writer(const JsonStyle& style)
      : style_(style),
        item_separator_(style.item_separator.value_or(style.indent ? "," : ", ")),
        key_separator_(style.key_separator.value_or(": ")) {}

  std::string take() { return std::move(out_); }

  void write(const Value& v) {
    Budget::spend(1);
    const std::size_t before = out_.size();
    switch (v.kind()) {
      case Kind::None:
        out_.append("null");
        break;
      case Kind::Bool:
        out_.append(v.boolean() ? "true" : "false");
        break;
      case Kind::Integer:
        out_.append(repr(v.integer()));
        break;
      case Kind::Float:
        out_.append(number(v.number()));
        break;
      case Kind::String:
        string(v.text().bytes());
        break;
      case Kind::List:
      case Kind::Tuple:
        return array(v.items());
      case Kind::Dict:
        return object(v.dict());
      default: {
        const auto* group = v.is(Kind::Object) ? dynamic_cast<const Group*>(v.object().get()) : nullptr;
        if (group != nullptr) return array(*v.object()->sequence());
        throw Failure(concat("a value of type ", type_name(v), " has no JSON form"));
      }
    }
    Budget::spend_text(out_.size() - before);
  }

 private:
  static std::string number(double x) {
    if (std::isnan(x)) return "NaN";
    if (std::isinf(x)) return x < 0 ? "-Infinity" : "Infinity";
    return repr(x);
  }

  void escape(unicode::CodePoint unit) {
    out_.append("\\u");
    for (int shift = 12; shift >= 0; shift -= 4) out_.push_back("0123456789abcdef"[unit >> shift & 15]);
  }

  void string(const std::string& s) {
    out_.push_back('"');
    for (std::size_t at = 0; at < s.size();) {
      const auto [code, size] = unicode::decode(s, at);
      switch (code) {
        case '"':
          out_.append("\\\"");
          break;
        case '\\':
          out_.append("\\\\");
          break;
        case '\n':
          out_.append("\\n");
          break;
        case '\r':
          out_.append("\\r");
          break;
        case '\t':
          out_.append("\\t");
          break;
        case '\b':
          out_.append("\\b");
          break;
        case '\f':
          out_.append("\\f");
          break;
        default:
          if (code < 0x20 || (style_.ascii && code >= 0x7F && code < 0x10000)) {
            escape(code);
          } else if (style_.ascii && code >= 0x10000 && code != unicode::invalid) {
            escape(0xD800 + ((code - 0x10000) >> 10));
            escape(0xDC00 + ((code - 0x10000) & 0x3FF));
          } else {
            out_.append(s, at, size);
          }
      }
      at += size;
    }
    out_.push_back('"');
  }

  void append_separator(const std::string& separator) {
    Budget::spend_text(separator.size());
    out_.append(separator);
  }

  void new_line() {
    if (!style_.indent) return;
    Budget::spend_text(level_ * style_.indent->size());
    out_.push_back('\n');
    for (std::size_t i = 0; i < level_; ++i) out_.append(*style_.indent);
  }

  // `write_item(i)` for each of n elements, between brackets.
  template <class WriteItem>
  void container(char open, char close, std::size_t n, const WriteItem& write_item) {
    out_.push_back(open);
    ++level_;
    for (std::size_t i = 0; i < n; ++i) {
      if (i > 0) append_separator(item_separator_);
      new_line();
      write_item(i);
    }
    --level_;
    if (n > 0) new_line();
    out_.push_back(close);
  }

  void array(const Values& items) {
    container('[', ']', items.size(), [&](std::size_t i) { write(items[i]); });
  }

  void object(const Dict& dict) {
    std::vector<Dict::Item> items = dict.items();
    if (style_.sort_keys) {
      std::stable_sort(items.begin(), items.end(),
                       [](const Dict::Item& a, const Dict::Item& b) { return less(a.first, b.first); });
    }
    container('{', '}', items.size(), [&](std::size_t i) {
      const std::size_t before = out_.size();
      key(items[i].first);
      Budget::spend_text(out_.size() - before);
      append_separator(key_separator_);
      write(items[i].second);
    });
  }

  void key(const Value& k) {
    switch (k.kind()) {
      case Kind::String:
        return string(k.text().bytes());
      case Kind::None:
        return string("null");
      case Kind::Bool:
        return string(k.boolean() ? "true" : "false");
      case Kind::Integer:
        return string(repr(k.integer()));
      case Kind::Float:
        return string(number(k.number()));
      default:
        throw Failure(concat("a value of type ", type_name(k), " cannot be a key in JSON"));
    }
  }

  const JsonStyle& style_;
  std::string item_separator_;
  std::string key_separator_;
  std::size_t level_ = 0;
  std::string out_;
};

}  // namespace

std::string to_json(const Value& value, const JsonStyle& style) {
  Writer writer(style);
  writer.write(value);
  return writer.take();
}

}  // namespace jinja
