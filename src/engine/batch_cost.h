// What a batch costs, learnt while batches are computed. Its time is taken to be
//
//   seconds ≈ batch + row · rows + position · Σ positions that the rows look back at
//
// which is what a transformer's forward pass does: weights are read and unpacked once a batch, multiplied with every
// row, and every row's queries with all keys before it. The three numbers are followed by a Kalman filter, so that they
// may drift: with the machine's other load, and with how far the linear form holds for few rows and for many.
#pragma once

#include <array>
#include <cstddef>

namespace engine {

struct BatchWork {
  std::size_t rows = 0;
  double positions = 0;  // that all rows together look back at

  // `rows` consecutive rows of a sequence, the first of which is at `first_position`.
  void add(std::size_t count, std::size_t first_position);
};

class BatchCost {
 public:
  BatchCost();

  double seconds(const BatchWork& work) const;  // 0 for no rows
  void learn(const BatchWork& work, double seconds);

 private:
  static constexpr std::size_t count = 3;
  using Vector = std::array<double, count>;

  static Vector features(const BatchWork& work);

  Vector cost_;  // of each feature, in seconds
  std::array<Vector, count> covariance_{};
};

}  // namespace engine
