#include "cli/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <utility>

#include "cli/format.h"
#include "cli/help.h"
#include "cli/output.h"

namespace cli {
namespace {

constexpr const char* about =
    "smollm3 runs SmolLM3 on this machine: a chat in the browser, a chat in the terminal and an\n"
    "HTTP API, from one GGUF file.";

constexpr const char* root_notes =
    "Examples:\n"
    "  smollm3 serve                                a chat in the browser, at http://127.0.0.1:3000\n"
    "  smollm3 chat                                 a chat in this terminal\n"
    "  smollm3 run \"Write a haiku about rain\"       one answer, and the end\n"
    "  git diff | smollm3 run \"Explain this change:\" -\n"
    "  smollm3 --model SmolLM3-3B-Q4_K_M.gguf chat  with a model of your choice\n"
    "\n"
    "The model is the file after --model, else that in $SMOLLM3_MODEL, else the newest GGUF file in\n"
    "~/.local/share/smollm3, else a small demonstration model inside the program.\n"
    "'smollm3 COMMAND --help' tells of a command.";

// CLI11 reads numbers with strtoull, which takes "-1" for a very large one.
CLI::Validator not_negative() {
  return CLI::Validator(
      [](std::string& text) { return text.starts_with('-') ? "is negative: " + text : std::string{}; }, "");
}

template <typename T>
CLI::Option* add_option(CLI::App* app, const std::string& names, const std::string& label, const std::string& help,
                        T& value) {
  return app->add_option(names, value, help)->option_text(label)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

template <typename T>
CLI::Option* add_list(CLI::App* app, const std::string& names, const std::string& label, const std::string& help,
                      std::vector<T>& value) {
  return app->add_option(names, value, help)->option_text(label)->delimiter(',')->expected(1, 1 << 20);
}

// CLI11's message without its own line breaks, as the middle of ours.
std::string reason(const CLI::ParseError& error, const CLI::App& app) {
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const std::vector<std::string> rest = app.remaining(true);
    const std::string first = rest.empty() ? std::string() : rest.front();
    if (first.starts_with('-')) return "there is no option '" + first + "'";
    if (app.get_subcommands().empty()) return "there is no command '" + first + "'";
    return "'" + first + "' is one argument too many";
  }
  std::string text = error.what();
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  return text;
}

}  // namespace

Option& Option::required() {
  option_->required();
  return *this;
}

Option& Option::one_of(std::vector<std::string> choices) {
  option_->check(CLI::IsMember(std::move(choices)).description(""));
  return *this;
}

Option& Option::between(double least, double most) {
  option_->check(CLI::Validator(
      [least, most](std::string& text) {
        double value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        const bool fits = error == std::errc{} && end == text.data() + text.size() && value >= least && value <= most;
        return fits ? std::string() : fmt::format("'{}' is not a number from {} to {}", text, least, most);
      },
      ""));
  return *this;
}

Option& Option::bytes() {
  option_->transform(CLI::Validator(
      [](std::string& text) {
        const std::optional<std::uint64_t> size = parse_byte_size(text);
        if (!size) return fmt::format("'{}' is not a size such as 512M, 1.5G or 4GiB", printable(text));
        text = std::to_string(*size);
        return std::string();
      },
      ""));
  return *this;
}

Option Command::option(const std::string& names, const std::string& label, const std::string& help,
                       std::string& value) {
  return Option(add_option(app_, names, label, help, value));
}

Option Command::option(const std::string& names, const std::string& label, const std::string& help, int& value) {
  return Option(add_option(app_, names, label, help, value));
}

Option Command::option(const std::string& names, const std::string& label, const std::string& help,
                       std::uint32_t& value) {
  return Option(add_option(app_, names, label, help, value)->check(not_negative()));
}

Option Command::option(const std::string& names, const std::string& label, const std::string& help, float& value) {
  return Option(add_option(app_, names, label, help, value));
}

Option Command::option(const std::string& names, const std::string& label, const std::string& help,
                       std::optional<std::string>& value) {
  return Option(add_option(app_, names, label, help, value));
}

Option Command::option(const std::string& names, const std::string& label, const std::string& help,
                       std::optional<std::uint64_t>& value) {
  return Option(add_option(app_, names, label, help, value)->check(not_negative()));
}

Option Command::option(const std::string& names, const std::string& label, const std::string& help,
                       std::vector<std::uint32_t>& value) {
  return Option(add_list(app_, names, label, help, value)->check(not_negative()));
}

Option Command::option(const std::string& names, const std::string& label, const std::string& help,
                       std::vector<std::string>& value) {
  return Option(app_->add_option(names, value, help)
                    ->option_text(label)
                    ->expected(1)
                    ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll));
}

void Command::flag(const std::string& names, const std::string& help, bool& value) {
  app_->add_flag(names, value, help);
}

Option Command::argument(const std::string& label, const std::string& help, std::string& value) {
  return Option(add_option(app_, label, label, help, value));
}

Option Command::arguments(const std::string& label, const std::string& help, std::vector<std::string>& value) {
  return Option(app_->add_option(label, value, help)->option_text(label));
}

void Command::notes(const std::string& text) { app_->footer(text); }

CommandLine::CommandLine() : app_(std::make_unique<CLI::App>(about, "smollm3")) {
  app_->formatter(std::make_shared<HelpFormatter>());
  app_->set_help_flag("-h,--help", "This text");
  app_->set_version_flag("--version", "smollm3 " SMOLLM3_VERSION, "The version of the program");
  app_->fallthrough();
  app_->require_subcommand(0, 1);
  app_->footer(root_notes);
  Command root(app_.get());
  root.option("-m,--model", "FILE", "The model, a GGUF file", globals_.model);
  root.option("--device", "cpu|cuda|auto", "What to compute on; auto takes the GPU where there is one (default: auto)",
              globals_.device)
      .one_of({"cpu", "cuda", "auto"});
  root.option("-t,--threads", "N", "Threads to compute with (default: as many as there are processors)",
              globals_.threads)
      .between(1, 1024);
  root.option("-c,--ctx", "N",
              "Positions a conversation may have; more than the model was trained for turns YaRN on (default: what the "
              "model and the memory allow)",
              globals_.context)
      .between(1, 16'777'216);
  root.option(
          "--kv-memory", "SIZE",
          "Memory for the keys and values of all conversations together, as 512M, 1.5G or 4GiB; processors take it as "
          "it is needed, a GPU at the start (default: what is free, for at most 256 conversations of --ctx)",
          globals_.kv_memory)
      .bytes();
  root.flag("--exact",
            "The same bits on every machine for prompts too, on the CPU (default where nothing faster is built in: "
            "processors without AMX)",
            globals_.exact);
  root.flag("-q,--quiet", "Nothing on standard error but errors", globals_.quiet);
}

CommandLine::~CommandLine() = default;

Command CommandLine::add(const std::string& group, const std::string& name, const std::string& summary,
                         std::function<int()> run) {
  CLI::App* command = app_->add_subcommand(name, summary);
  command->group(group);
  command->callback([this, run = std::move(run)] { chosen_ = run; });
  return Command(command);
}

int CommandLine::run(int argc, const char* const* argv) {
  const auto usage_error = [this](const std::string& why) {
    const std::vector<CLI::App*> commands = app_->get_subcommands();
    const std::string command = commands.empty() ? "smollm3" : "smollm3 " + commands.front()->get_name();
    report_error("command line: " + why + "; see '" + command + " --help'");
    return exit_usage;
  };
  try {
    app_->parse(argc, argv);
    if (!chosen_) return usage_error("no command was given");
    return chosen_();
  } catch (const CLI::CallForHelp&) {
    standard_output().write(app_->help());
    return 0;
  } catch (const CLI::CallForVersion& version) {
    standard_output().write(std::string(version.what()) + "\n");
    return 0;
  } catch (const CLI::ParseError& error) {
    return usage_error(reason(error, *app_));
  } catch (const UsageError& error) {
    return usage_error(error.message());
  }
}

}  // namespace cli
