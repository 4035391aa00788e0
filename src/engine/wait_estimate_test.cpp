#include "engine/wait_estimate.h"

#include <gtest/gtest.h>

namespace engine {
namespace {

TEST(WaitEstimate, SaysNothingBeforeItHasSeenAny) {
  WaitEstimate estimate;
  EXPECT_EQ(estimate.seconds(3, 0), 0u);
  estimate.note(0, 3, 0);
  EXPECT_EQ(estimate.seconds(0, 50), 0u);
}

TEST(WaitEstimate, FollowsFromHowFastOthersWereBegun) {
  WaitEstimate estimate;
  double now = 0;
  estimate.note(now, 20, 0);
  for (std::size_t left = 20; left > 10; --left) estimate.note(now += 4, left - 1, 1);
  EXPECT_EQ(estimate.seconds(0, now), 4u);
  EXPECT_EQ(estimate.seconds(1, now), 8u);
  EXPECT_EQ(estimate.seconds(8, now), 40u) << "in steps of 5";
  EXPECT_EQ(estimate.seconds(1, now + 3), 5u) << "part of it is over";
  EXPECT_EQ(estimate.seconds(0, now + 60), 1u) << "any moment now";
}

TEST(WaitEstimate, TimeInWhichNobodyWaitsDoesNotCount) {
  WaitEstimate estimate;
  estimate.note(0, 2, 0);
  estimate.note(2, 1, 1);
  estimate.note(4, 0, 1);
  estimate.note(1000, 0, 5);
  estimate.note(2000, 1, 0);
  EXPECT_EQ(estimate.seconds(0, 2000), 2u);
}

}  // namespace
}  // namespace engine
