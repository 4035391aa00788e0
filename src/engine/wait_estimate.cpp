#include "engine/wait_estimate.h"

#include <algorithm>
#include <cmath>

namespace engine {

void WaitEstimate::note(double now, std::size_t waiting, std::size_t begun) {
  if (since_ && begun > 0) {
    const double interval = (now - *since_) / static_cast<double>(begun);
    interval_ = interval_ == 0 ? interval : 0.75 * interval_ + 0.25 * interval;
  }
  if (waiting == 0) {
    since_.reset();
  } else if (!since_ || begun > 0) {
    since_ = now;
  }
}

std::uint32_t WaitEstimate::seconds(std::size_t ahead, double now) const {
  if (interval_ == 0) return 0;
  const double gone = since_ ? std::min(now - *since_, interval_) : 0;
  const double left = std::max(1.0, interval_ * static_cast<double>(ahead + 1) - gone);
  const double step = left < 10 ? 1 : left < 60 ? 5 : 30;
  return static_cast<std::uint32_t>(std::min(std::ceil(left / step) * step, 1e6));
}

}  // namespace engine
