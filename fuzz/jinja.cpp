// A template of any bytes, rendered with a conversation. It must end in text or an error, within its bounds, and twice
// the same.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "jinja/jinja.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

const nlohmann::ordered_json& conversation() {
  static const nlohmann::ordered_json context = nlohmann::ordered_json::parse(R"({
    "messages": [{"role": "system", "content": "Be brief. /no_think"},
                 {"role": "user", "content": "Grüße & <b>\n\t<|im_end|>"},
                 {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"x": [1, 2.5, null, true]}}}]},
                 {"role": "tool", "content": "-1e300"}],
    "xml_tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
    "add_generation_prompt": true, "enable_thinking": false, "n": -3, "x": 1.5, "none": null})");
  return context;
}

std::optional<std::string> render(const jinja::Template& source, const jinja::Options& options) {
  try {
    const jinja::Text text = source.render(conversation(), options);
    std::string joined;
    for (const jinja::Fragment& fragment : text.fragments()) joined += fragment.text;
    require(joined == text.bytes() && joined.size() <= options.max_output);
    return joined;
  } catch (const base::Error&) {
    return std::nullopt;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  jinja::Options options;
  options.now = std::chrono::local_days(std::chrono::year(2025) / 7 / 8);
  options.max_steps = 100'000;
  options.max_output = 1 << 16;
  options.autoescape = size > 0 && data[0] == '<';
  try {
    const auto source = jinja::Template::parse({reinterpret_cast<const char*>(data), size}, "fuzz");
    require(render(source, options) == render(source, options));
  } catch (const base::Error&) {
  }
  return 0;
}
