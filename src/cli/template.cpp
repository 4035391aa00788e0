#include "cli/template.h"

#include <charconv>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/input.h"
#include "cli/model_choice.h"
#include "cli/output.h"
#include "smollm3/chat.h"

namespace cli {
namespace {

using nlohmann::ordered_json;

struct Options {
  std::string messages;
  std::string tools;
  std::string python_tools;
  bool no_think = false;
  std::string date;
  bool no_generation_prompt = false;
  bool json = false;
};

std::chrono::year_month_day parse_date(const std::string& text) {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  const auto field = [&](std::size_t at, std::size_t length, auto& value) {
    const char* begin = text.data() + at;
    const auto [end, error] = std::from_chars(begin, begin + length, value);
    return error == std::errc{} && end == begin + length;
  };
  if (text.size() == 10 && text[4] == '-' && text[7] == '-' && field(0, 4, year) && field(5, 2, month) &&
      field(8, 2, day)) {
    const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)};
    if (date.ok()) return date;
  }
  throw UsageError("--date: '" + text + "' is not a date as in 2026-01-31");
}

ordered_json read_array(const std::string& path) {
  ordered_json json = read_json(path);
  if (!json.is_array()) throw base::Error(path, "is not a JSON array", "correct the file");
  return json;
}

const char* start_name(smollm3::StreamStart start) {
  switch (start) {
    case smollm3::StreamStart::Open:
      return "open";
    case smollm3::StreamStart::Thinking:
      return "thinking";
    case smollm3::StreamStart::Answer:
      return "answer";
  }
  return "";
}

ordered_json to_json(const smollm3::Prompt& prompt) {
  ordered_json fragments = ordered_json::array();
  for (const auto& fragment : prompt.fragments) {
    fragments.push_back({{"text", fragment.text}, {"special", fragment.from_template}});
  }
  return {{"text", prompt.text()}, {"start", start_name(prompt.start)}, {"fragments", std::move(fragments)}};
}

int render(const Options& options, const Globals& globals) {
  smollm3::ChatInput input;
  if (!options.date.empty()) input.date = parse_date(options.date);
  input.messages = read_array(options.messages);
  if (!options.tools.empty()) input.tools = read_array(options.tools);
  if (!options.python_tools.empty()) input.python_tools = read_array(options.python_tools);
  input.enable_thinking = !options.no_think;
  input.add_generation_prompt = !options.no_generation_prompt;

  const gguf::File file = open_model(globals);
  const auto chat = smollm3::ChatTemplate::of(file);
  announce_model(globals, file);
  const smollm3::Prompt prompt = chat.render(input);
  if (!options.json)
    standard_output().write(prompt.text());
  else
    standard_output().write(to_json(prompt).dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
  return 0;
}

}  // namespace

void add_template(CommandLine& line) {
  auto options = std::make_shared<Options>();
  const Globals& globals = line.globals();
  Command command = line.add("Text and tokens", "template", "Show the prompt that a conversation becomes",
                             [options, &globals] { return render(*options, globals); });
  command
      .option("--messages", "FILE", "The conversation: a JSON array of messages, in OpenAI's form", options->messages)
      .required();
  command.option("--tools", "FILE", "A JSON array of tools, which fills the template's tools and xml_tools",
                 options->tools);
  command.option("--python-tools", "FILE", "A JSON array that fills python_tools", options->python_tools);
  command.flag("--no-think", "Ask for an answer without thinking", options->no_think);
  command.option("--date", "YYYY-MM-DD", "The date the template tells (default: today)", options->date);
  command.flag("--no-generation-prompt", "Leave out the beginning of the answer", options->no_generation_prompt);
  command.flag("--json", "Also where the answer starts, and which parts may hold special tokens", options->json);
  command.notes(
      "The prompt is written byte for byte, with no line break after it.\n"
      "\n"
      "Example:\n"
      "  echo '[{\"role\": \"user\", \"content\": \"Hi\"}]' | smollm3 template --messages /dev/stdin");
}

}  // namespace cli
