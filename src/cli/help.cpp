#include "cli/help.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/utf8.h"

namespace cli {
namespace {

constexpr std::size_t width = 100;
constexpr std::size_t column = 30;  // where the texts begin

// Of a terminal: as many as characters.
std::size_t columns(std::string_view text) { return base::utf8::count(text); }

// "  name    text, wrapped at `width` with its further lines below the first".
std::string entry(const std::string& name, const std::string& text) {
  std::string out = "  " + name;
  if (columns(out) + 2 > column) out += "\n";
  out.append(column - std::min(column, out.back() == '\n' ? 0 : columns(out)), ' ');
  std::size_t at = column;
  std::size_t begin = 0;
  while (begin < text.size()) {
    std::size_t end = text.find(' ', begin);
    if (end == std::string::npos) end = text.size();
    const std::size_t word = end - begin;
    if (at > column && at + 1 + word > width) {
      out += "\n" + std::string(column, ' ');
      at = column;
    } else if (at > column) {
      out += ' ';
      ++at;
    }
    out.append(text, begin, word);
    at += word;
    begin = end + 1;
  }
  return out + "\n";
}

std::string option_name(const CLI::Option* option) {
  std::string name;
  for (const std::string& text : option->get_snames()) name += (name.empty() ? "-" : ", -") + text;
  if (name.empty()) name = "    ";  // under the long name of those that have a short one
  for (const std::string& text : option->get_lnames()) name += (name == "    " ? "--" : ", --") + text;
  const std::string& label = option->get_option_text();
  return label.empty() ? name : name + " " + label;
}

// `below` is the command whose help this is, if the options are those of the program.
std::string options_of(const CLI::App* app, const std::string& heading, const CLI::App* below = nullptr) {
  std::string out;
  for (const CLI::Option* option : app->get_options()) {
    const bool only_here = option == app->get_help_ptr() || option == app->get_version_ptr();
    if (!option->nonpositional() || (below != nullptr && only_here)) continue;
    out += entry(option_name(option), option->get_description());
  }
  return out.empty() ? out : "\n" + heading + ":\n" + out;
}

std::string usage(const CLI::App* app) {
  const bool root = app->get_parent() == nullptr;
  std::string line = "Usage: smollm3 " + (root ? std::string("[OPTIONS] COMMAND …") : app->get_name());
  std::string arguments;
  for (const CLI::Option* option : app->get_options()) {
    const std::string& label = option->get_option_text();
    if (option->get_positional())
      arguments += option->get_required() ? " " + label : " [" + label + "]";
    else if (option->get_required() && !root)
      line += " " + option->get_name(false, false) + " " + label;
  }
  return line + (root ? "" : " [OPTIONS]") + arguments + "\n";
}

std::string commands_of(const CLI::App* app) {
  std::string out;
  std::string group;
  for (const CLI::App* command : app->get_subcommands({})) {
    if (command->get_group() != group) {
      group = command->get_group();
      out += "\n" + group + ":\n";
    }
    out += entry(command->get_name(), command->get_description());
  }
  return out;
}

}  // namespace

std::string HelpFormatter::make_help(const CLI::App* app, std::string, CLI::AppFormatMode) const {
  std::string out = app->get_description() + "\n\n" + usage(app);
  std::string arguments;
  for (const CLI::Option* option : app->get_options()) {
    if (option->get_positional()) arguments += entry(option->get_option_text(), option->get_description());
  }
  if (!arguments.empty()) out += "\n" + arguments;
  out += commands_of(app);
  out += options_of(app, "Options");
  if (app->get_parent() != nullptr) out += options_of(app->get_parent(), "Options of every command", app);
  if (!app->get_footer().empty()) out += "\n" + app->get_footer() + "\n";
  return out;
}

}  // namespace cli
