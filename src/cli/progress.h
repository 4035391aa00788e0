// How far a long command is, on a terminal's standard error; elsewhere nothing is shown.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace cli {

class Progress {
 public:
  Progress(std::uint64_t total, bool quiet);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `done` of the total are done; `note` says more. Drawn a few times a second, and always when all of it is done.
  void show(std::uint64_t done, const std::string& note);
  // Takes the bar away, so that other text may follow.
  void clear();

  double seconds() const;  // since the beginning

 private:
  using Clock = std::chrono::steady_clock;

  std::uint64_t total_;
  bool shown_;  // at all
  bool drawn_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_{};
};

}  // namespace cli
