// What a step costs, learnt while steps are run. The time of a batch of one precision is taken to be
//
//   seconds ≈ batch + row · rows + position · Σ positions that the rows look back at
//
// which is what a transformer's forward pass does: the weights are read once a batch, multiplied with every row, and
// every row's queries with all keys before it. The three numbers, for each precision, are followed by a Kalman filter,
// so that they may drift: with the machine's other load, with how far the linear form holds for few rows and for many.
#pragma once

#include <array>
#include <cstddef>

#include "compute/compute.h"

namespace engine {

// What a step asks of the device.
struct StepWork {
  struct Batch {
    std::size_t rows = 0;
    double positions = 0;  // that all rows together look back at
  };
  Batch exact, fast;

  void add(compute::Precision precision, std::size_t rows, std::size_t first_position);
};

class StepCost {
 public:
  StepCost();

  double seconds(const StepWork& work) const;
  void learn(const StepWork& work, double seconds);

 private:
  static constexpr std::size_t count = 6;
  using Vector = std::array<double, count>;

  static Vector features(const StepWork& work);

  Vector cost_;  // of each feature, in seconds
  std::array<Vector, count> covariance_{};
};

}  // namespace engine
