// What the program writes: standard output, whose failures are errors, and lines on standard error.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace cli {

// The reader of standard output went away: nothing to tell, and nobody to tell it to.
struct BrokenPipe {};

class OutputError : public base::Error {
  using Error::Error;
};

class Output {
 public:
  // `name`: what errors call it.
  explicit Output(int descriptor, std::string name = "standard output")
      : descriptor_(descriptor), name_(std::move(name)) {}
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  // Buffered. Throws OutputError if the text cannot be written, BrokenPipe if nobody reads it any more.
  void write(std::string_view text);
  void flush();

 private:
  int descriptor_;
  std::string name_;
  std::string buffer_;
};

Output& standard_output();

// For text that is worth nothing if it cannot be written; unbuffered.
void write_error(std::string_view text);
// "smollm3: LINE"; control characters, line breaks among them, are shown as blanks.
void report_error(std::string_view line);

// Whether a descriptor is a terminal, and one that shall be given colours (NO_COLOR and TERM=dumb say no).
bool is_terminal(int descriptor);
bool has_colour(int descriptor);

// The text in a dim colour if the descriptor has colours.
std::string dim(int descriptor, std::string_view text);

}  // namespace cli
