#include "cli/demo_model.h"

#ifdef SMOLLM3_DEMO_MODEL
extern "C" const std::byte smollm3_demo_model[];  // both from cmake/embed.cmake
extern "C" const std::byte smollm3_demo_model_end[];
#endif

namespace cli {

std::span<const std::byte> demo_model() {
#ifdef SMOLLM3_DEMO_MODEL
  return {smollm3_demo_model, smollm3_demo_model_end};
#else
  return {};
#endif
}

}  // namespace cli
