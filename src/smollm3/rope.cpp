#include "smollm3/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace smollm3 {
namespace {

// Pairs that turn more than `beta_fast` times over the original context keep their frequency, pairs that turn less than
// `beta_slow` times are slowed by the whole factor, those between by a part of it.
constexpr double beta_fast = 32;
constexpr double beta_slow = 1;

// The pair, as a real number, that turns `turns` times over the original context.
double pair_turning(double turns, const RopeConfig& config, double head_size) {
  return head_size * std::log(config.original_context / (turns * 2 * std::numbers::pi)) / (2 * std::log(config.base));
}

}  // namespace

Rope::Rope(const RopeConfig& config, std::size_t head_size) : frequencies_(head_size / 2) {
  const auto size = static_cast<double>(head_size);
  const double low = std::max(std::floor(pair_turning(beta_fast, config, size)), 0.0);
  const double high = std::min(std::ceil(pair_turning(beta_slow, config, size)), size - 1);
  for (std::size_t i = 0; i < frequencies_.size(); ++i) {
    const auto pair = static_cast<double>(i);
    const double frequency = std::pow(config.base, -2 * pair / size);
    const double slowed = config.factor == 1 ? 0 : std::clamp((pair - low) / std::max(high - low, 0.001), 0.0, 1.0);
    frequencies_[i] = frequency * (1 - slowed) + frequency / config.factor * slowed;
  }
  scale_ = 1 + 0.1 * std::log(config.factor);
}

std::span<const float> Rope::angles(std::size_t position) {
  const std::size_t size = 2 * frequencies_.size();
  for (std::size_t p = known_.size() / size; p <= position; ++p) {
    for (const double frequency : frequencies_) {
      const double angle = static_cast<double>(p) * frequency;
      known_.push_back(static_cast<float>(std::cos(angle) * scale_));
      known_.push_back(static_cast<float>(std::sin(angle) * scale_));
    }
  }
  return std::span(known_).subspan(position * size, size);
}

}  // namespace smollm3
