// What was said of an answer so far. A journal gives it to whoever records it, and a Request takes it, so that another
// process goes on with the answer where one that is gone had come. Plain data.
#pragma once

#include <vector>

#include "smollm3/tokenizer.h"

namespace engine {

struct Said {
  std::vector<smollm3::Token> tokens = {};
  double generate_seconds = 0;  // up to the last of them, as of Usage
  double thinking_seconds = 0;
};

}  // namespace engine
