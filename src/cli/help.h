// How --help looks: names in one column, texts wrapped in a second, the program's options below the command's.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace cli {

class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override;
};

}  // namespace cli
