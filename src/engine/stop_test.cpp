#include "engine/stop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace engine {
namespace {

// What the filter should let through: everything before the first place where a stop text begins.
std::string expected(const std::string& text, const std::vector<std::string>& stops) {
  std::size_t end = text.size();
  for (const std::string& stop : stops) end = std::min(end, text.find(stop));
  return text.substr(0, end);
}

// Which of several overlapping stop texts counts depends on which is complete first; that the answer ends where one
// begins, and that none is missed, does not.
TEST(StopFilter, CutsAnyTextInAnyPiecesWhereAStopBegins) {
  std::mt19937 random(7);
  const auto word = [&](std::size_t least, std::size_t most) {
    std::string text(least + random() % (most - least + 1), 'a');
    for (char& c : text) c = static_cast<char>('a' + random() % 2);  // two letters: overlaps are frequent
    return text;
  };
  int stopped = 0;
  for (int round = 0; round < 5000; ++round) {
    const std::string text = word(0, 30);
    std::vector<std::string> stops;
    for (std::size_t i = 0; i < 1 + random() % 3; ++i) stops.push_back(word(2, 8));
    StopFilter filter(stops);
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t size = std::min<std::size_t>(1 + random() % 5, text.size() - at);
      out += filter.push(text.substr(at, size));
      at += size;
    }
    out += filter.finish();
    if (filter.stopped()) {
      ++stopped;
      EXPECT_EQ(text.compare(0, out.size(), out), 0);
      EXPECT_TRUE(std::any_of(stops.begin(), stops.end(),
                              [&](const auto& stop) { return text.compare(out.size(), stop.size(), stop) == 0; }));
    } else {
      EXPECT_EQ(out, text);
      EXPECT_EQ(out, expected(text, stops));
    }
  }
  EXPECT_GT(stopped, 1000);
}

TEST(StopFilter, HoldsBackOnlyWhatMayBecomeAStop) {
  StopFilter filter({"\n\nUser:"});
  EXPECT_EQ(filter.push("Hello\n"), "Hello");
  EXPECT_EQ(filter.push("\nUs"), "");
  EXPECT_EQ(filter.push("age"), "\n\nUsage");
  EXPECT_EQ(filter.push("!\n\nUser: more"), "!");
  EXPECT_TRUE(filter.stopped());
  EXPECT_EQ(filter.push("more"), "");
  EXPECT_EQ(filter.finish(), "");
}

}  // namespace
}  // namespace engine
