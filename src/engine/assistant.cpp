#include "engine/assistant.h"

#include <utility>

namespace engine {
namespace {

// Follows one turn: feeds the text to the parser, and passes on what becomes certain.
class TurnReader {
 public:
  TurnReader(smollm3::StreamStart start, TurnListener listener) : parser_(start), listener_(std::move(listener)) {}

  void read(const Update& update) {
    if (!update.text.empty()) pass_on(parser_.feed(update.text));
    if (!update.finish) {
      if (update.text.empty()) listener_(Progress{update.prompt_done, update.usage.prompt_tokens});
      return;
    }
    pass_on(parser_.finish());
    listener_(Done{*update.finish, update.error, update.usage, called_tools_});
  }

 private:
  void pass_on(std::vector<smollm3::OutputEvent> events) {
    for (smollm3::OutputEvent& event : events) {
      if (event.kind == smollm3::OutputEvent::Kind::ToolCall) called_tools_ = true;
      listener_(std::move(event));
    }
  }

  smollm3::OutputParser parser_;
  TurnListener listener_;
  bool called_tools_ = false;
};

}  // namespace

std::shared_ptr<Ticket> submit_turn(Engine& engine, const Turn& turn, TurnListener listener) {
  const smollm3::Prompt prompt = engine.chat_template().render(turn.input);
  std::vector<smollm3::Fragment> fragments;
  for (const auto& fragment : prompt.fragments) fragments.push_back({fragment.text, fragment.special_allowed});
  Request request{.prompt = engine.tokenizer().encode(fragments), .sampling = turn.sampling, .max_tokens = turn.max_tokens, .stop = turn.stop};
  auto reader = std::make_shared<TurnReader>(prompt.start, std::move(listener));
  return engine.submit(std::move(request), [reader](const Update& update) { reader->read(update); });
}

}  // namespace engine
