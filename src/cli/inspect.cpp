#include "cli/inspect.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <string_view>
#include <utility>

#include "cli/format.h"
#include "cli/output.h"
#include "gguf/gguf.h"
#include "quant/type.h"

namespace cli {
namespace {

struct Options {
  std::string file;
  bool tensors = false;
  bool json = false;
};

std::string type_name(std::uint32_t type) {
  const auto info = quant::type_info(static_cast<quant::Type>(type));
  return info ? std::string(info->name) : fmt::format("type {}", type);
}

// Bytes of the tensor's own; of a type unknown here, all its room in the file.
std::uint64_t tensor_bytes(const gguf::Tensor& tensor) {
  const auto info = quant::type_info(static_cast<quant::Type>(tensor.type));
  return info ? tensor.elements() / info->block * info->block_bytes : tensor.room.size();
}

struct TypeCount {
  std::uint64_t tensors = 0;
  std::uint64_t bytes = 0;
};

// Types in use, the one that takes most bytes first.
std::vector<std::pair<std::string, TypeCount>> count_types(const gguf::File& file) {
  std::map<std::string, TypeCount> by_name;
  for (const gguf::Tensor& tensor : file.tensors()) {
    TypeCount& count = by_name[type_name(tensor.type)];
    ++count.tensors;
    count.bytes += tensor_bytes(tensor);
  }
  std::vector<std::pair<std::string, TypeCount>> counts(by_name.begin(), by_name.end());
  std::ranges::stable_sort(counts, [](const auto& a, const auto& b) { return a.second.bytes > b.second.bytes; });
  return counts;
}

// JSON, written as it goes: an array of 280,000 merges as a tree of values would take longer than all the rest.
void append_number(std::string& out, double value) {
  if (std::isfinite(value))
    fmt::format_to(std::back_inserter(out), "{}", value);
  else
    out += "null";
}

// Array::integer() has no room for the upper half of the 64-bit numbers.
void append_natural(std::string& out, const gguf::Array& array, std::uint64_t i) {
  std::uint64_t value = 0;
  std::memcpy(&value, &array.bytes[i * sizeof value], sizeof value);
  fmt::format_to(std::back_inserter(out), "{}", value);
}

void append_array(std::string& out, const gguf::Array& array) {
  out += '[';
  const char* separator = "";
  const auto next = [&] { out += std::exchange(separator, ","); };
  if (array.type == gguf::ValueType::String) {
    for (const std::string_view text : array.strings()) next(), append_json_string(out, text);
  } else {
    const bool floats = array.type == gguf::ValueType::F32 || array.type == gguf::ValueType::F64;
    for (std::uint64_t i = 0; i < array.count; ++i) {
      next();
      if (floats)
        append_number(out, array.number(i));
      else if (array.type == gguf::ValueType::Bool)
        out += array.integer(i) != 0 ? "true" : "false";
      else if (array.type == gguf::ValueType::U64)
        append_natural(out, array, i);
      else
        fmt::format_to(std::back_inserter(out), "{}", array.integer(i));
    }
  }
  out += ']';
}

struct AppendJson {
  std::string& out;

  void operator()(std::uint64_t value) const { fmt::format_to(std::back_inserter(out), "{}", value); }
  void operator()(std::int64_t value) const { fmt::format_to(std::back_inserter(out), "{}", value); }
  void operator()(double value) const { append_number(out, value); }
  void operator()(bool value) const { out += value ? "true" : "false"; }
  void operator()(std::string_view value) const { append_json_string(out, value); }
  void operator()(const gguf::Array& value) const { append_array(out, value); }
};

std::string json_report(const gguf::File& file) {
  std::string out = fmt::format("{{\"version\":{},\"metadata\":{{", file.version());
  const char* separator = "";
  for (const gguf::Entry& entry : file.metadata()) {
    out += std::exchange(separator, ",\n");
    append_json_string(out, entry.key);
    out += ':';
    std::visit(AppendJson{out}, entry.value);
  }
  out += "},\n\"tensors\":[";
  separator = "";
  for (const gguf::Tensor& tensor : file.tensors()) {
    out += std::exchange(separator, ",\n");
    out += "{\"name\":";
    append_json_string(out, tensor.name);
    fmt::format_to(std::back_inserter(out), ",\"type\":\"{}\",\"shape\":[{}],\"offset\":{},\"bytes\":{}}}",
                   type_name(tensor.type), fmt::join(tensor.shape, ","), tensor.offset, tensor_bytes(tensor));
  }
  out += "],\n\"counts\":{";
  separator = "";
  for (const auto& [name, count] : count_types(file)) {
    fmt::format_to(std::back_inserter(out), "{}\"{}\":{}", std::exchange(separator, ","), name, count.tensors);
  }
  return out + "}}\n";
}

// The report for people. Keys are looked up leniently: any GGUF file can be shown, whatever it lacks.
class Report {
 public:
  explicit Report(const gguf::File& file) : file_(file), architecture_(text("general.architecture")) {}

  std::string write() {
    heading();
    model();
    tokenizer();
    types();
    return std::move(out_);
  }

 private:
  std::string text(std::string_view key) const {
    const gguf::Value* value = file_.find(key);
    const auto* string = value ? std::get_if<std::string_view>(value) : nullptr;
    return string ? printable(*string) : std::string();
  }

  std::optional<double> number(std::string_view key) const {
    const gguf::Value* value = file_.find(key);
    if (!value) return std::nullopt;
    if (const auto* natural = std::get_if<std::uint64_t>(value)) return static_cast<double>(*natural);
    if (const auto* integer = std::get_if<std::int64_t>(value)) return static_cast<double>(*integer);
    if (const auto* real = std::get_if<double>(value)) return *real;
    return std::nullopt;
  }

  std::optional<double> own(std::string_view key) const { return number(fmt::format("{}.{}", architecture_, key)); }

  static std::string whole(std::optional<double> value) {
    return value && *value >= 0 && *value < 1e18 ? grouped(static_cast<std::uint64_t>(*value)) : "?";
  }

  std::uint64_t array_size(std::string_view key) const {
    const gguf::Value* value = file_.find(key);
    const auto* array = value ? std::get_if<gguf::Array>(value) : nullptr;
    return array ? array->count : 0;
  }

  void row(std::string_view name, const std::string& value) { out_ += fmt::format("  {:<15} {}\n", name, value); }

  void heading() {
    const std::string name = text("general.name");
    out_ += fmt::format("{}\n", name.empty() ? printable(file_.name()) : name);
    row("file", fmt::format("{} · {} · GGUF {}", printable(file_.name()), byte_size(file_.size()), file_.version()));
    if (const auto count = number("split.count"); count && *count > 1) {
      const auto index = number("split.no");
      row("part", fmt::format("{} of {} · only this one is shown", index ? whole(*index + 1) : "?", whole(count)));
    }
    std::uint64_t parameters = 0;
    for (const gguf::Tensor& tensor : file_.tensors()) parameters += tensor.elements();
    if (parameters > 0) row("parameters", fmt::format("{} ({})", count_size(parameters), grouped(parameters)));
    for (const char* key : {"general.license", "general.organization"}) {
      if (const std::string value = text(key); !value.empty()) row(key + 8, value);
    }
  }

  void model() {
    if (!own("block_count")) return;
    row("architecture", architecture_);
    row("layers", whole(own("block_count")));
    row("hidden size",
        fmt::format("{} · feed-forward {}", whole(own("embedding_length")), whole(own("feed_forward_length"))));
    row("attention", attention());
    row("context", whole(own("context_length")) + " positions");
    row("positions", positions());
    if (const auto epsilon = own("attention.layer_norm_rms_epsilon"))
      row("norm", fmt::format("RMS, epsilon {:g}", *epsilon));
    if (file_.tensor("token_embd.weight") != nullptr) {
      row("output head", file_.tensor("output.weight") ? "of its own" : "tied to the embedding");
    }
  }

  std::string attention() const {
    const auto heads = own("attention.head_count");
    const auto hidden = own("embedding_length");
    const auto key_length = own("attention.key_length");
    std::string line = whole(heads) + " heads";
    if (key_length)
      line += " of " + whole(key_length);
    else if (heads && hidden && *heads > 0)
      line += " of " + whole(*hidden / *heads);
    return line + fmt::format(" · {} key/value heads", whole(own("attention.head_count_kv")));
  }

  std::string positions() const {
    std::string line = "RoPE";
    if (const auto base = own("rope.freq_base")) line += ", base " + whole(base);
    const std::string scaling = text(architecture_ + ".rope.scaling.type");
    if (!scaling.empty() && scaling != "none") {
      line += fmt::format(" · {}", scaling == "yarn" ? "YaRN" : scaling);
      if (const auto factor = own("rope.scaling.factor")) line += fmt::format(" × {:g}", *factor);
      if (const auto length = own("rope.scaling.original_context_length")) line += " over " + whole(length);
    }
    return architecture_ == "smollm3" ? line + " · none on every fourth layer" : line;
  }

  void tokenizer() {
    const std::uint64_t tokens = array_size("tokenizer.ggml.tokens");
    if (tokens == 0) return;
    std::string kind = text("tokenizer.ggml.model");
    if (const std::string pre = text("tokenizer.ggml.pre"); !pre.empty()) kind += "/" + pre;
    row("tokenizer",
        fmt::format("{} · {} tokens · {} merges", kind, grouped(tokens), grouped(array_size("tokenizer.ggml.merges"))));
    const std::string source = text("tokenizer.chat_template");
    row("chat template", source.empty() ? "none" : fmt::format("yes, {} characters", grouped(source.size())));
  }

  void types() {
    const auto counts = count_types(file_);
    std::uint64_t bytes = 0;
    for (const auto& [name, count] : counts) bytes += count.bytes;
    row("tensors", fmt::format("{} · {}", grouped(file_.tensors().size()), byte_size(bytes)));
    for (const auto& [name, count] : counts) {
      out_ += fmt::format(
          "    {:<9} {:>8}  {:>9}  {:>5.1f} %\n", name, grouped(count.tensors), byte_size(count.bytes),
          100.0 * static_cast<double>(count.bytes) / static_cast<double>(std::max<std::uint64_t>(bytes, 1)));
    }
  }

  const gguf::File& file_;
  std::string architecture_;
  std::string out_;
};

std::string tensor_table(const gguf::File& file) {
  std::size_t longest = 0;
  for (const gguf::Tensor& tensor : file.tensors()) longest = std::max(longest, tensor.name.size());
  std::string out = "\n";
  for (const gguf::Tensor& tensor : file.tensors()) {
    out += fmt::format("  {:<{}}  {:<7} {:>9}  {}\n", printable(tensor.name), longest, type_name(tensor.type),
                       byte_size(tensor_bytes(tensor)), fmt::join(tensor.shape, " × "));
  }
  return out;
}

int inspect(const Options& options) {
  const gguf::File file = gguf::File::open(options.file);
  Output& out = standard_output();
  if (options.json) {
    out.write(json_report(file));
    return 0;
  }
  out.write(Report(file).write());
  if (options.tensors) out.write(tensor_table(file));
  return 0;
}

}  // namespace

void add_inspect(CommandLine& line) {
  auto options = std::make_shared<Options>();
  Command command =
      line.add("Models", "inspect", "Show what a GGUF file holds", [options] { return inspect(*options); });
  command.argument("FILE", "A GGUF file, of any architecture", options->file).required();
  command.flag("--tensors", "A line for each tensor, too", options->tensors);
  command.flag("--json", "The whole header, as JSON", options->json);
  command.notes(
      "Only the header is read, so the size of the file does not matter. Of a model split over several\n"
      "files, that is the header of the part that was named.\n"
      "JSON: {\"version\", \"metadata\": {…}, \"tensors\": [{\"name\", \"type\", \"shape\", \"offset\", \"bytes\"}],\n"
      "\"counts\": {\"Q4_K\": 216, …}}. Shapes have the innermost dimension first; offsets count from the start\n"
      "of the tensor data; metadata arrays, such as the vocabulary, are printed whole.\n"
      "\n"
      "Examples:\n"
      "  smollm3 inspect SmolLM3-3B-Q4_K_M.gguf\n"
      "  smollm3 inspect --json model.gguf | jq '.metadata[\"smollm3.block_count\"]'");
}

}  // namespace cli
