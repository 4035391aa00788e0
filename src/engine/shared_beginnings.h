// What generations under way compute for each other.
#pragma once

#include <memory>
#include <vector>

#include "engine/prefix_cache.h"
#include "engine/prompt_slice.h"
#include "engine/running.h"

namespace engine {

// What was computed can be shared from now on. Who reads goes on from what others have read meanwhile, and waits where
// another one is reading the same page just now (Running::waits): so requests that arrive together compute their common
// beginning once. `running`: in the order in which they were asked for.
void share_beginnings(const std::vector<std::unique_ptr<Running>>& running, const PromptSlice& slice,
                      PrefixCache& cache);

}  // namespace engine
