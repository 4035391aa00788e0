#include "cli/run.h"

#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/answer.h"
#include "cli/display.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/output.h"

namespace cli {
namespace {

using nlohmann::ordered_json;

struct Options {
  std::vector<std::string> words;
  std::string system;
  bool no_think = false;
  bool raw = false;
  bool json = false;
  SamplingOptions sampling;
};

// The words joined by blanks, "-" standing for standard input; without any words, standard input.
std::string read_prompt(const Options& options) {
  if (options.words.empty() && is_terminal(STDIN_FILENO)) throw UsageError("there is no prompt");
  if (options.words.empty()) return read_standard_input();
  std::string prompt;
  for (const std::string& word : options.words) {
    if (!prompt.empty()) prompt += word == "-" ? "\n\n" : " ";
    prompt += word == "-" ? read_standard_input() : word;
  }
  return prompt;
}

const char* finish_name(engine::Finish finish) {
  switch (finish) {
    case engine::Finish::Stop:
      return "stop";
    case engine::Finish::Length:
      return "length";
    case engine::Finish::ToolCalls:
      return "tool_calls";
    case engine::Finish::Cancelled:
      return "cancelled";
    case engine::Finish::Failed:
      return "failed";
  }
  return "";
}

engine::Done run_raw(engine::Engine& engine, const std::string& prompt, const Options& options,
                     const engine::Sampling& sampling, Display& display) {
  const smollm3::Tokenizer& tokenizer = engine.tokenizer();
  engine::Request request;
  request.prompt = tokenizer.encode(prompt, true);
  request.sampling = sampling;
  request.limits.max_tokens = options.sampling.max_tokens;
  if (tokenizer.add_bos()) request.prompt.insert(request.prompt.begin(), tokenizer.bos().value());
  return follow(engine.start(std::move(request)), display);
}

engine::Done run_chat(engine::Engine& engine, const std::string& prompt, const Options& options,
                      const engine::Sampling& sampling, Display& display) {
  engine::Turn turn;
  turn.sampling = sampling;
  turn.limits.max_tokens = options.sampling.max_tokens;
  turn.input.messages = ordered_json::array();
  if (!options.system.empty()) turn.input.messages.push_back({{"role", "system"}, {"content", options.system}});
  turn.input.messages.push_back({{"role", "user"}, {"content", prompt}});
  turn.input.enable_thinking = !options.no_think;
  return follow(engine.start(std::move(turn)), display);
}

std::string json_report(const engine::Engine& engine, const Display& display, const engine::Done& done,
                        std::uint64_t seed) {
  const engine::Usage& usage = done.usage;
  const ordered_json report = {{"model", engine.model_name()},
                               {"mode", engine.mode()},
                               {"text", display.answer()},
                               {"thinking", display.thinking()},
                               {"tool_calls", display.tool_calls()},
                               {"finish", finish_name(done.finish)},
                               {"seed", seed},
                               {"usage",
                                {{"prompt_tokens", usage.prompt_tokens},
                                 {"generated_tokens", usage.generated_tokens},
                                 {"prompt_tokens_per_second", usage.prompt_speed()},
                                 {"generated_tokens_per_second", usage.generate_speed()}}}};
  return report.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

int run(const Options& options, const Globals& globals) {
  const engine::Sampling sampling = options.sampling.choose();
  if (options.raw && !options.system.empty()) throw UsageError("--system has no place in a --raw prompt");
  std::string prompt = read_prompt(options);
  if (!options.raw) {
    prompt = without_last_breaks(std::move(prompt));
    require_utf8("prompt", prompt);
    require_utf8("--system", options.system);
  }
  if (prompt.empty()) throw base::Error("prompt", "is empty", "write one after 'run', or pipe it in");
  const auto engine = load_engine(globals, {.conversations = 1});
  const bool watched = !globals.quiet && is_terminal(STDERR_FILENO);
  Display display(watched ? STDERR_FILENO : Display::no_thinking, options.json);
  const InterruptGuard guard(InterruptGuard::Second::EndsTheProgram);
  const engine::Done done = options.raw ? run_raw(*engine, prompt, options, sampling, display)
                                        : run_chat(*engine, prompt, options, sampling, display);
  display.end();
  if (options.json)
    standard_output().write(json_report(*engine, display, done, sampling.seed));
  else if (!globals.quiet)
    tell_if_cut_off(done, options.sampling.max_tokens, engine->context());
  return done.finish == engine::Finish::Cancelled ? exit_interrupted : 0;
}

}  // namespace

void add_run(CommandLine& line) {
  auto options = std::make_shared<Options>();
  const Globals& globals = line.globals();
  Command command = line.add("Talking", "run", "Answer one prompt on standard output",
                             [options, &globals] { return run(*options, globals); });
  command.arguments("PROMPT", "What to answer; - stands for standard input, which is also read without a PROMPT",
                    options->words);
  command.option("--system", "TEXT", "What the model shall be and heed", options->system);
  command.flag("--no-think", "Answer without thinking first", options->no_think);
  command.flag("--raw", "Continue the prompt as it is, without the chat template; names of special tokens count",
               options->raw);
  options->sampling.declare(command);
  command.flag("--json", "One JSON object at the end: text, thinking, usage and so on", options->json);
  command.notes(
      "Standard output holds the answer and nothing else. Thinking is shown on standard error, if that is a\n"
      "terminal.\n"
      "\n"
      "Examples:\n"
      "  smollm3 run \"What is the capital of France?\"\n"
      "  answer=$(smollm3 run --no-think --temp 0 \"What is 17 + 25?\")\n"
      "  git diff | smollm3 run \"Explain this change:\" -\n"
      "  smollm3 run --raw --max-tokens 40 \"Once upon a time\"");
}

}  // namespace cli
