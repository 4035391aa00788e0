#include "engine/batch_cost.h"

#include <algorithm>

namespace engine {
namespace {

// Of a batch, a row and a position. What is assumed before anything was measured is a slow machine with a large model,
// and uncertain: it is wrong by a factor of hundreds for a small one, and then forgotten after the first batches.
constexpr double assumed[] = {0.1, 0.01, 1e-6};
constexpr double drift = 0.05;  // of a cost, from batch to batch
constexpr double noise = 0.05;  // of a measured time
constexpr double least = 1e-6;  // of what is assumed: costs are positive

}  // namespace

void BatchWork::add(std::size_t added, std::size_t first_position) {
  const auto n = static_cast<double>(added);
  rows += added;
  positions += n * static_cast<double>(first_position) + n * (n + 1) / 2;
}

BatchCost::BatchCost() {
  for (std::size_t i = 0; i < count; ++i) {
    cost_[i] = assumed[i];
    covariance_[i][i] = cost_[i] * cost_[i];
  }
}

BatchCost::Vector BatchCost::features(const BatchWork& work) {
  return {work.rows > 0 ? 1.0 : 0.0, static_cast<double>(work.rows), work.positions};
}

double BatchCost::seconds(const BatchWork& work) const {
  const Vector x = features(work);
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += x[i] * cost_[i];
  return sum;
}

void BatchCost::learn(const BatchWork& work, double measured) {
  const Vector x = features(work);
  Vector px{};  // covariance · x
  const double foreseen = seconds(work);
  const double spread = noise * std::max(measured, foreseen);  // a short time is no more certain for being short
  double variance = spread * spread + 1e-12;
  for (std::size_t i = 0; i < count; ++i) {
    covariance_[i][i] += drift * cost_[i] * drift * cost_[i];
    for (std::size_t j = 0; j < count; ++j) px[i] += covariance_[i][j] * x[j];
  }
  for (std::size_t i = 0; i < count; ++i) variance += x[i] * px[i];
  for (std::size_t i = 0; i < count; ++i) {
    cost_[i] = std::max(cost_[i] + px[i] / variance * (measured - foreseen), least * assumed[i]);
    for (std::size_t j = 0; j < count; ++j) covariance_[i][j] -= px[i] * px[j] / variance;
  }
}

}  // namespace engine
