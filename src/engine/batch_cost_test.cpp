#include "engine/batch_cost.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace engine {
namespace {

BatchWork some_work(std::mt19937& random) {
  BatchWork work;
  for (std::size_t i = 1 + random() % 8; i > 0; --i)
    work.add(random() % 2 == 0 ? 1 : 1 + random() % 100, random() % 4000);
  return work;
}

double true_cost(const BatchWork& work, double scale) {
  return scale * (0.06 + 0.009 * static_cast<double>(work.rows) + 2e-6 * work.positions);
}

TEST(BatchCost, CountsThePositionsThatRowsLookBackAt) {
  BatchWork work;
  work.add(1, 0);
  work.add(3, 10);
  EXPECT_EQ(work.rows, 4u);
  EXPECT_EQ(work.positions, 1 + 11 + 12 + 13);
  EXPECT_EQ(BatchCost().seconds({}), 0);
}

// Machines and models that differ by a factor of a thousand, noise, and a machine that becomes half as fast.
TEST(BatchCost, IsLearnt) {
  for (const double scale : {0.001, 0.1, 1.0}) {
    std::mt19937 random(3);
    std::normal_distribution<double> noise(1, 0.03);
    BatchCost cost;
    for (const double speed : {1.0, 2.0, 1.0}) {
      for (int step = 0; step < 60; ++step) {
        const BatchWork work = some_work(random);
        cost.learn(work, true_cost(work, scale * speed) * noise(random));
      }
      double error = 0;
      for (int i = 0; i < 200; ++i) {
        const BatchWork work = some_work(random);
        error += std::abs(cost.seconds(work) / true_cost(work, scale * speed) - 1) / 200;
      }
      EXPECT_LT(error, 0.15) << scale << ", " << speed;
    }
  }
}

TEST(BatchCost, IsNotForgottenForOneMistake) {
  std::mt19937 random(3);
  BatchCost cost;
  for (int step = 0; step < 60; ++step) {
    const BatchWork work = some_work(random);
    cost.learn(work, true_cost(work, 1));
  }
  const BatchWork work = some_work(random);
  cost.learn(work, true_cost(work, 1) / 30);
  EXPECT_GT(cost.seconds(work), true_cost(work, 1) / 4);
  for (int step = 0; step < 5; ++step) {
    const BatchWork next = some_work(random);
    cost.learn(next, true_cost(next, 1));
  }
  EXPECT_NEAR(cost.seconds(work), true_cost(work, 1), true_cost(work, 1) / 4);
}

TEST(BatchCost, StaysPositiveWhateverIsMeasured) {
  std::mt19937 random(5);
  BatchCost cost;
  for (int step = 0; step < 20'000; ++step) {
    const BatchWork work = some_work(random);
    cost.learn(work, std::exp(static_cast<double>(random() % 20) - 12));
    const double seconds = cost.seconds(work);
    ASSERT_GT(seconds, 0);
    ASSERT_TRUE(std::isfinite(seconds));
  }
}

}  // namespace
}  // namespace engine
