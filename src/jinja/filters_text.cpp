#include <algorithm>
#include <map>

#include "jinja/compare.h"
#include "jinja/failure.h"
#include "jinja/filters.h"
#include "jinja/format.h"
#include "jinja/interpreter.h"
#include "jinja/operators.h"
#include "jinja/python.h"
#include "jinja/strings.h"
#include "jinja/unicode.h"

namespace jinja {
namespace {

// The input as a string; markup stays markup.
Value soft(const Value& input) { return input.is_string() ? input : Value(str(input)); }

const Text& require_text(const Value& input, std::string_view filter) {
  if (input.is_undefined()) throw Failure(input.undefined_reason());
  if (!input.is_string()) throw Failure(concat(filter, " wants a string, not a value of type ", type_name(input)));
  return input.text();
}

template <Text (*function)(const Text&)>
Value plain(Interpreter&, const Value& input, const Args& args) {
  Bound bound("the filter", args, {});
  const Value s = soft(input);
  return Value(function(s.text()), s.safe());
}

Value center(Interpreter&, const Value& input, const Args& args) {
  Bound bound("center", args, {"width"});
  const Value s = soft(input);
  return Value(strings::center(s.text(), bound.machine_integer(0, 80), Text::from_template(" ")), s.safe());
}

Value escape(Interpreter&, const Value& input, const Args& args) {
  Bound bound("escape", args, {});
  return Value(escape_html(input), true);
}

Value force_escape(Interpreter&, const Value& input, const Args& args) {
  Bound bound("forceescape", args, {});
  return Value(escape_html(str(input)), true);
}

Value safe(Interpreter&, const Value& input, const Args& args) {
  Bound bound("safe", args, {});
  return Value(str(input), true);
}

Value string(Interpreter&, const Value& input, const Args& args) {
  Bound bound("string", args, {});
  return soft(input);
}

Value format(Interpreter&, const Value& input, const Args& args) {
  if (!args.positional.empty() && !args.named.empty()) {
    throw Failure("format takes positional or named arguments, not both", "drop one kind");
  }
  if (args.named.empty()) return format_percent(soft(input), Value::tuple(args.positional));
  Dict named;
  for (const auto& [name, value] : args.named) named.set(name, value);
  return format_percent(soft(input), Value::dict(std::move(named)));
}

Value indent(Interpreter&, const Value& input, const Args& args) {
  Bound bound("indent", args, {"width", "first", "blank"});
  Text text = require_text(input, "indent");
  Text by;
  if (bound.has(0) && bound[0].is_string()) {
    by = bound[0].text();
  } else {
    const auto width = static_cast<std::size_t>(std::clamp<Int>(bound.machine_integer(0, 4), 0, Int{1} << 40));
    Budget::spend_text(width);
    by = Text::from_template(std::string(width, ' '));
  }
  const Text newline = Text::from_template("\n");
  text.append(newline);
  const std::vector<Text> lines = strings::split_lines(text, false);
  Text out;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append(newline);
    if (i == 0 ? bound.truth(1, false) : bound.truth(2, false) || !lines[i].empty()) out.append(by);
    out.append(lines[i]);
    Budget::spend_text(by.size() + lines[i].size());
  }
  return Value(std::move(out), input.safe());
}

Value replace(Interpreter& interpreter, const Value& input, const Args& args) {
  Bound bound("replace", args, {"old", "new", "count"}, 2);
  const Int count = bound.has_value(2) ? bound.machine_integer(2, -1) : -1;
  if (!interpreter.autoescape()) return Value(strings::replace(str(input), str(bound[0]), str(bound[1]), count));
  const bool markup = input.safe() || bound[0].safe() || bound[1].safe();
  const Text s = markup ? escape_html(input) : str(input);
  const auto part = [markup](const Value& v) { return markup ? escape_html(v) : str(v); };
  return Value(strings::replace(s, part(bound[0]), part(bound[1]), count), markup);
}

// Words begin after whitespace and after -({[<.
Value title(Interpreter&, const Value& input, const Args& args) {
  Bound bound("title", args, {});
  const Value s = soft(input);
  const Text& text = s.text();
  const auto parts_words = [](unicode::CodePoint c) {
    return unicode::is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  };
  Text out;
  for (std::size_t at = 0; at < text.size();) {
    const auto [code, size] = unicode::decode(text.bytes(), at);
    if (parts_words(code)) {
      out.append(text, at, size);
      at += size;
      continue;
    }
    std::size_t end = at + size;
    while (end < text.size() && !parts_words(unicode::decode(text.bytes(), end).code)) {
      end += unicode::decode(text.bytes(), end).size;
    }
    out.append(strings::upper(text.substr(at, size)));
    out.append(strings::lower(text.substr(at + size, end - at - size)));
    at = end;
  }
  return Value(std::move(out));  // Python joins the words to a str, be they markup or not
}

Value trim(Interpreter&, const Value& input, const Args& args) {
  Bound bound("trim", args, {"chars"});
  const Value s = soft(input);
  const auto characters = bound.has_value(0) ? std::optional<Text>(bound.text(0, "")) : std::nullopt;
  return Value(strings::strip(s.text(), characters, strings::Both), s.safe());
}

Value truncate_text(Interpreter&, const Value& input, const Args& args) {
  Bound bound("truncate", args, {"length", "killwords", "end", "leeway"});
  const Value end = bound.get(2, Value::own("..."));
  const Value limit = bound.get(0, Value(255));
  const Value leeway = bound.has_value(3) ? bound[3] : Value(5);
  const Int have = static_cast<Int>(length(input)), end_length = static_cast<Int>(length(end));
  if (less(limit, Value(end_length)))
    throw Failure("truncate's length is less than that of its end", "use a longer length or a shorter end");
  if (less(leeway, Value(0))) throw Failure("truncate's leeway is negative", "expected 0 or more");
  if (less_or_equal(Value(have), apply(BinaryOperator::Add, limit, leeway))) return input;
  Value kept = slice_of(input, Value::none(), Value(bound.integer(0, 255) - end_length), Value::none());
  if (!bound.truth(1, false)) {
    const Text& s = require_text(kept, "truncate");
    if (const std::size_t space = s.bytes().rfind(' '); space != std::string::npos)
      kept = Value(s.substr(0, space), kept.safe());
  }
  return apply(BinaryOperator::Add, kept, end);
}

Value word_count(Interpreter&, const Value& input, const Args& args) {
  Bound bound("wordcount", args, {});
  const Text s = str(input);
  Budget::spend_text(s.size());
  int words = 0;
  bool inside = false;
  for (std::size_t at = 0; at < s.size();) {
    const auto [c, size] = unicode::decode(s.bytes(), at);
    const bool word =
        c == '_' || unicode::is_alpha(c) || unicode::is_numeric(c) || unicode::is_decimal(c) || unicode::is_digit(c);
    words += word && !inside ? 1 : 0;
    inside = word;
    at += size;
  }
  return Value(words);
}

void append_quoted(std::string& out, std::string_view s, bool in_query) {
  for (const char c : s) {
    const bool plain_character = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z' && (c & 0x80) == 0) ||
                                 std::string_view("_.-~").find(c) != std::string_view::npos || (c == '/' && !in_query);
    if (plain_character) {
      out.push_back(c);
    } else if (c == ' ' && in_query) {
      out.push_back('+');
    } else {
      out.push_back('%');
      out.push_back("0123456789ABCDEF"[static_cast<unsigned char>(c) >> 4]);
      out.push_back("0123456789ABCDEF"[c & 15]);
    }
  }
  Budget::spend_text(3 * s.size());
}

Value url_encode(Interpreter&, const Value& input, const Args& args) {
  Bound bound("urlencode", args, {});
  std::string out;
  if (input.is_string() || !is_iterable(input)) {
    append_quoted(out, str(input).bytes(), false);
    return Value::input(out);
  }
  const auto pair = [&out](const Value& key, const Value& value) {
    if (!out.empty()) out.push_back('&');
    append_quoted(out, str(key).bytes(), true);
    out.push_back('=');
    append_quoted(out, str(value).bytes(), true);
  };
  if (input.is(Value::Kind::Dict)) {
    for (const auto& [key, value] : input.dict().items()) pair(key, value);
  } else {
    for (const Value& item : iterate(input)) {
      const Values both = iterate(item);
      if (both.size() != 2) throw Failure("urlencode wants pairs of names and values");
      pair(both[0], both[1]);
    }
  }
  return Value::input(out);
}

Value xml_attributes(Interpreter& interpreter, const Value& input, const Args& args) {
  Bound bound("xmlattr", args, {"autospace"});
  if (!input.is(Value::Kind::Dict)) throw Failure("xmlattr wants a dict");
  Text out;
  for (const auto& [key, value] : input.dict().items()) {
    if (value.is_none() || value.is_undefined()) continue;
    const Text name = require_text(key, "xmlattr");
    if (name.bytes().find_first_of(" \t\n\v\f\r/>=") != std::string::npos) {
      throw Failure(concat("an attribute cannot be named ", repr(std::string_view(name.bytes()))));
    }
    if (!out.empty() || bound.truth(0, true)) out.append(" ", true);
    out.append(escape_html(name));
    out.append("=\"", true);
    out.append(escape_html(value));
    out.append("\"", true);
  }
  Budget::spend_text(out.size());
  return Value(std::move(out), interpreter.autoescape());
}

}  // namespace

FilterFunction find_text_filter(std::string_view name) {
  static const std::map<std::string_view, FilterFunction> filters = {
      {"capitalize", plain<strings::capitalize>},
      {"center", center},
      {"e", escape},
      {"escape", escape},
      {"forceescape", force_escape},
      {"format", format},
      {"indent", indent},
      {"lower", plain<strings::lower>},
      {"replace", replace},
      {"safe", safe},
      {"string", string},
      {"title", title},
      {"trim", trim},
      {"truncate", truncate_text},
      {"upper", plain<strings::upper>},
      {"urlencode", url_encode},
      {"wordcount", word_count},
      {"xmlattr", xml_attributes},
  };
  const auto found = filters.find(name);
  return found == filters.end() ? nullptr : found->second;
}

}  // namespace jinja
