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

  // cos 0, sin 0, cos 1, sin 1, … of a position's angles, times YaRN's attention scale: head_size floats.
  void angles(std::size_t position, std::span<float> cos_sin) const;

 private:
  std::vector<double> frequencies_;  // radians a position, one for each pair: head_size / 2
  double scale_ = 1;                 // of cos and sin
};

}  // namespace smollm3
