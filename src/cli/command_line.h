// The program's commands and their options: what each file of a command declares, and what main runs. It stands before
// CLI11, whose headers take seconds to compile, so that only one file includes them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace cli {

// Options that stand before or after any command.
struct Globals {
  std::string model;                       // empty: see model_choice.h
  std::string device = "auto";             // or "cpu", "cuda"
  int threads = 0;                         // 0: as many as there are processors
  std::uint32_t context = 0;               // 0: what the model and the memory allow
  std::optional<std::uint64_t> kv_memory;  // bytes
  bool exact = false;
  bool quiet = false;  // nothing on standard error but errors
};

// Exit codes of the program, besides 0.
inline constexpr int exit_failed = 1;
inline constexpr int exit_usage = 2;
inline constexpr int exit_interrupted = 130;  // 128 + SIGINT, as shells count

// Options that are each well formed and together make no sense; main ends with exit_usage.
class UsageError {
 public:
  explicit UsageError(std::string message) : message_(std::move(message)) {}
  const std::string& message() const { return message_; }

 private:
  std::string message_;
};

class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}
  Option& required();
  Option& one_of(std::vector<std::string> choices);
  Option& between(double least, double most);
  Option& bytes();  // a size as of parse_byte_size

 private:
  CLI::Option* option_;
};

class Command {
 public:
  explicit Command(CLI::App* app) : app_(app) {}

  // `names` as in "-n,--number"; `label` stands for the value in the help; the value keeps its default if the option is
  // not given. Vectors take their elements separated by commas.
  Option option(const std::string& names, const std::string& label, const std::string& help, std::string& value);
  Option option(const std::string& names, const std::string& label, const std::string& help, int& value);
  Option option(const std::string& names, const std::string& label, const std::string& help, std::uint32_t& value);
  Option option(const std::string& names, const std::string& label, const std::string& help, float& value);
  Option option(const std::string& names, const std::string& label, const std::string& help,
                std::optional<std::string>& value);
  Option option(const std::string& names, const std::string& label, const std::string& help,
                std::optional<std::uint64_t>& value);
  Option option(const std::string& names, const std::string& label, const std::string& help,
                std::vector<std::uint32_t>& value);
  Option option(const std::string& names, const std::string& label, const std::string& help,
                std::vector<std::string>& value);
  void flag(const std::string& names, const std::string& help, bool& value);
  // Words that belong to no option: one, or all that follow.
  Option argument(const std::string& label, const std::string& help, std::string& value);
  Option arguments(const std::string& label, const std::string& help, std::vector<std::string>& value);

  // Text below the options: examples, and what there is to know.
  void notes(const std::string& text);

 private:
  CLI::App* app_;
};

class CommandLine {
 public:
  CommandLine();
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  const Globals& globals() const { return globals_; }

  // Adds a command; its options are then declared on what is returned. `run` is called once after they are all read
  // and returns the exit code. `group` is the heading it stands under in the help.
  Command add(const std::string& group, const std::string& name, const std::string& summary, std::function<int()> run);

  // Reads the arguments and runs the command they name. Wrong usage is one line on standard error and exit_usage; what
  // the command throws goes through.
  int run(int argc, const char* const* argv);

 private:
  std::unique_ptr<CLI::App> app_;
  Globals globals_;
  std::function<int()> chosen_;
};

}  // namespace cli
