// How often somebody may be wrong: a number of tries at once, and then one after each of some time (the generic cell
// rate algorithm). For one thread.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

namespace server {

class TryLimit {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Key = std::array<unsigned char, 16>;

  struct Rate {
    int at_once;
    std::chrono::seconds each;
  };

  // `key` decides who shares a place with whom.
  explicit TryLimit(Rate rate, const Key& key = random_key());

  // Counts a try of theirs. If they had too many, it counts none, and returns how long they have to wait: at least a
  // second.
  std::chrono::seconds take(std::string_view who, Time now);
  // It was no wrong one.
  void give_back(std::string_view who);

  static Key random_key();

 private:
  Time& place_of(std::string_view who);

  Rate rate_;
  Key key_;
  // When all tries of a place will be there again. Names and addresses are as many as an attacker likes, places are
  // not: each has the one that a keyed hash says, and nobody knows whom to be in order to share another's.
  std::vector<Time> places_;
};

}  // namespace server
