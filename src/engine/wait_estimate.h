// How long a request will probably wait, from how fast those before it were begun. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace engine {

class WaitEstimate {
 public:
  // Times in seconds, on any clock. `waiting`: how many wait from now on; `begun`: how many were begun since the last
  // call.
  void note(double now, std::size_t waiting, std::size_t begun);

  // Of one with so many ahead of it; 0 while nobody can say. In steps that grow, so that it can be shown.
  std::uint32_t seconds(std::size_t ahead, double now) const;

 private:
  std::optional<double> since_;  // when the last one was begun, or, if that was later, when the first came that waits
  double interval_ = 0;          // between two that are begun while others wait; 0: not known
};

}  // namespace engine
