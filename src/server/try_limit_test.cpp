#include "server/try_limit.h"

#include <gtest/gtest.h>

#include <string>

namespace server {
namespace {

using namespace std::chrono_literals;

constexpr TryLimit::Key key{1, 2, 3};
const TryLimit::Time start = TryLimit::Time(1000h);

TEST(TryLimits, LetSomeThroughAtOnceAndThenOneAtATime) {
  TryLimit limit({.at_once = 3, .each = 10s}, key);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limit.take("ann", start), 0s);
  EXPECT_EQ(limit.take("ann", start), 10s);
  EXPECT_EQ(limit.take("ann", start + 4s), 6s) << "a try that was refused does not make the wait longer";
  EXPECT_EQ(limit.take("ann", start + 9500ms), 1s);
  EXPECT_EQ(limit.take("ann", start + 10s), 0s);
  EXPECT_EQ(limit.take("ann", start + 10s), 10s);
  EXPECT_EQ(limit.take("bob", start + 10s), 0s) << "another is not held up";
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limit.take("ann", start + 1h), 0s);
  EXPECT_EQ(limit.take("ann", start + 1h), 10s) << "no more than those at once are saved up";
}

TEST(TryLimits, CountNothingForWhoIsRight) {
  TryLimit limit({.at_once = 2, .each = 10s}, key);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(limit.take("ann", start), 0s);
    limit.give_back("ann");
  }
  EXPECT_EQ(limit.take("ann", start), 0s);
  EXPECT_EQ(limit.take("ann", start), 0s);
  EXPECT_EQ(limit.take("ann", start), 10s);
}

TEST(TryLimits, TakeNoMoreMemoryForMoreNames) {
  TryLimit limit({.at_once = 1, .each = 10s}, key);
  for (int i = 0; i < 1'000'000; ++i) limit.take(std::to_string(i), start);
  EXPECT_EQ(limit.take("ann", start), 10s) << "all places are taken by now, and given up to nobody";
  EXPECT_EQ(limit.take("ann", start + 10s), 0s);
}

}  // namespace
}  // namespace server
