// What generations under way compute for each other.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "engine/prefix_cache.h"
#include "engine/running.h"

namespace engine {

// What was computed can be shared from now on. Who reads goes on from what others have read meanwhile, and waits where
// another one is reading the same page just now (Running::waits): so requests that arrive together compute their common
// beginning once. `running`: in the order in which they were asked for. `in_slice`: whether one has a
// part in a slice that is on its way, and must not be touched.
void share_beginnings(const std::vector<std::unique_ptr<Running>>& running,
                      const std::function<bool(const Running&)>& in_slice, PrefixCache& cache);

}  // namespace engine
