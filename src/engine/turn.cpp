#include "engine/turn.h"

namespace engine {

Request prepare(const Turn& turn, const smollm3::ChatTemplate& chat_template, const smollm3::Tokenizer& tokenizer) {
  const smollm3::Prompt prompt = chat_template.render(turn.input);
  std::vector<smollm3::Fragment> fragments;
  fragments.reserve(prompt.fragments.size());
  for (const auto& fragment : prompt.fragments) fragments.push_back({fragment.text, fragment.special_allowed});
  return {.prompt = tokenizer.encode(fragments),
          .sampling = turn.sampling,
          .limits = turn.limits,
          .chat = prompt.start,
          .tools_offered = !turn.input.tools.is_null() || !turn.input.python_tools.is_null()};
}

}  // namespace engine
