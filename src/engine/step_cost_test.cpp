#include "engine/step_cost.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace engine {
namespace {

using compute::Precision;

StepWork some_work(std::mt19937& random) {
  StepWork work;
  const std::size_t writers = random() % 8;
  for (std::size_t i = 0; i < writers; ++i) work.add(Precision::Exact, 1, random() % 4000);
  if (random() % 2 == 0 || writers == 0) work.add(Precision::Fast, 1 + random() % 200, random() % 4000);
  return work;
}

double true_cost(const StepWork& work, double scale) {
  const auto of = [](const StepWork::Batch& batch, double base, double row, double position) {
    return batch.rows == 0 ? 0 : base + row * static_cast<double>(batch.rows) + position * batch.positions;
  };
  return scale * (of(work.exact, 0.06, 0.009, 8e-6) + of(work.fast, 0.05, 0.004, 2e-6));
}

TEST(StepCost, CountsThePositionsThatRowsLookBackAt) {
  StepWork work;
  work.add(Precision::Exact, 1, 0);
  work.add(Precision::Exact, 3, 10);
  EXPECT_EQ(work.exact.rows, 4u);
  EXPECT_EQ(work.exact.positions, 1 + 11 + 12 + 13);
  EXPECT_EQ(work.fast.rows, 0u);
}

// Machines and models that differ by a factor of a thousand, noise, and a machine that becomes half as fast.
TEST(StepCost, IsLearnt) {
  for (const double scale : {0.001, 0.1, 1.0}) {
    std::mt19937 random(3);
    std::normal_distribution<double> noise(1, 0.03);
    StepCost cost;
    for (const double speed : {1.0, 2.0, 1.0}) {
      for (int step = 0; step < 60; ++step) {
        const StepWork work = some_work(random);
        cost.learn(work, true_cost(work, scale * speed) * noise(random));
      }
      double error = 0;
      for (int i = 0; i < 200; ++i) {
        const StepWork work = some_work(random);
        error += std::abs(cost.seconds(work) / true_cost(work, scale * speed) - 1) / 200;
      }
      EXPECT_LT(error, 0.15) << scale << ", " << speed;
    }
  }
}

TEST(StepCost, StaysPositiveWhateverIsMeasured) {
  std::mt19937 random(5);
  StepCost cost;
  for (int step = 0; step < 2000; ++step) {
    const StepWork work = some_work(random);
    cost.learn(work, std::exp(static_cast<double>(random() % 20) - 12));
    const double seconds = cost.seconds(work);
    ASSERT_GT(seconds, 0);
    ASSERT_TRUE(std::isfinite(seconds));
  }
}

}  // namespace
}  // namespace engine
