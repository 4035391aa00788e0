#include "engine/step_cost.h"

#include <algorithm>

namespace engine {
namespace {

// Of a batch, a row and a position. What is assumed before anything was measured is a slow machine with a large model,
// and uncertain: it is wrong by a factor of hundreds for a small one, and then forgotten after the first steps.
constexpr double assumed[] = {0.05, 0.01, 1e-6};
constexpr double drift = 0.05;  // of a cost, in a step
constexpr double noise = 0.05;  // of a measured time
constexpr double least = 1e-6;  // of what is assumed: costs are positive

}  // namespace

void StepWork::add(compute::Precision precision, std::size_t rows, std::size_t first_position) {
  Batch& batch = precision == compute::Precision::Fast ? fast : exact;
  const auto n = static_cast<double>(rows);
  batch.rows += rows;
  batch.positions += n * static_cast<double>(first_position) + n * (n + 1) / 2;
}

StepCost::StepCost() {
  for (std::size_t i = 0; i < count; ++i) {
    cost_[i] = assumed[i % 3];
    covariance_[i][i] = cost_[i] * cost_[i];
  }
}

StepCost::Vector StepCost::features(const StepWork& work) {
  const auto of = [](const StepWork::Batch& batch) {
    return std::array<double, 3>{batch.rows > 0 ? 1.0 : 0.0, static_cast<double>(batch.rows), batch.positions};
  };
  const auto exact = of(work.exact), fast = of(work.fast);
  return {exact[0], exact[1], exact[2], fast[0], fast[1], fast[2]};
}

double StepCost::seconds(const StepWork& work) const {
  const Vector x = features(work);
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += x[i] * cost_[i];
  return sum;
}

void StepCost::learn(const StepWork& work, double measured) {
  const Vector x = features(work);
  Vector px{};  // covariance · x
  double variance = noise * measured * noise * measured + 1e-12;
  for (std::size_t i = 0; i < count; ++i) {
    covariance_[i][i] += drift * cost_[i] * drift * cost_[i];
    for (std::size_t j = 0; j < count; ++j) px[i] += covariance_[i][j] * x[j];
  }
  for (std::size_t i = 0; i < count; ++i) variance += x[i] * px[i];
  const double error = measured - seconds(work);
  for (std::size_t i = 0; i < count; ++i) {
    cost_[i] = std::max(cost_[i] + px[i] / variance * error, least * assumed[i % 3]);
    for (std::size_t j = 0; j < count; ++j) covariance_[i][j] -= px[i] * px[j] / variance;
  }
  // What is never seen would otherwise become ever less certain.
  for (std::size_t i = 0; i < count; ++i) {
    const double most = assumed[i % 3] * assumed[i % 3];
    if (covariance_[i][i] <= most) continue;
    const double shrink = most / covariance_[i][i];
    for (std::size_t j = 0; j < count; ++j) {
      covariance_[i][j] *= j == i ? shrink : std::min(1.0, shrink);
      if (j != i) covariance_[j][i] = covariance_[i][j];
    }
  }
}

}  // namespace engine
