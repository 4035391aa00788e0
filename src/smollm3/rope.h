// The angles of rotary position embedding (arXiv:2104.09864), stretched by YaRN (arXiv:2309.00071) where asked for.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "smollm3/config.h"

namespace smollm3 {

class Rope {
 public:
  Rope(const RopeConfig& config, std::size_t head_size);

  // cos 0, sin 0, cos 1, sin 1, … of a position's angles, times YaRN's attention scale: head_size floats. Those of all
  // positions up to it are computed once and kept; the span is valid until the next call.
  std::span<const float> angles(std::size_t position);

 private:
  std::vector<double> frequencies_;  // radians a position, one for each pair: head_size / 2
  double scale_ = 1;                 // of cos and sin
  std::vector<float> known_;         // the angles of the first positions
};

}  // namespace smollm3
