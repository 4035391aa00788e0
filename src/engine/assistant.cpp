#include "engine/assistant.h"

#include <mutex>
#include <utility>

#include "engine/stop.h"

namespace engine {
namespace {

using smollm3::OutputEvent;

// Follows one turn: feeds the text to the parser, and passes on what becomes certain.
class TurnReader {
 public:
  TurnReader(smollm3::StreamStart start, const Turn& turn, TurnListener listener)
      : parser_(start),
        stop_(turn.stop),
        tools_offered_(!turn.input.tools.is_null() || !turn.input.python_tools.is_null()),
        listener_(std::move(listener)) {}

  // The ticket of the request that is read, which may have begun.
  void attach(const std::shared_ptr<Ticket>& ticket) {
    const std::lock_guard lock(mutex_);
    ticket_ = ticket;
    if (cancelled_) ticket->cancel();
  }

  void read(const Update& update) {
    if (!update.text.empty()) pass_on(parser_.feed(update.text));
    if (!update.finish) {
      if (update.text.empty()) listener_(Progress{update.prompt_done, update.usage.prompt_tokens});
      return;
    }
    pass_on(parser_.finish());
    say(stop_.finish());
    const bool stopped = stop_.stopped() && *update.finish != Finish::Failed;
    listener_(Done{stopped ? Finish::Stop : *update.finish, update.error, update.usage, called_tools_});
  }

 private:
  void pass_on(std::vector<OutputEvent> events) {
    for (OutputEvent& event : events) {
      if (stop_.stopped()) return;
      if (event.kind == OutputEvent::Kind::Answer) {
        say(stop_.push(event.text));
      } else if (event.kind == OutputEvent::Kind::ToolCall && !tools_offered_) {
        say(stop_.push(event.call.raw));
      } else {
        if (event.kind == OutputEvent::Kind::ToolCall) {
          called_tools_ = true;
          say(stop_.finish());
        }
        listener_(std::move(event));
      }
    }
    if (stop_.stopped()) cancel();
  }

  void say(std::string text) {
    if (!text.empty()) listener_(OutputEvent{OutputEvent::Kind::Answer, std::move(text), {}});
  }

  void cancel() {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (const auto ticket = ticket_.lock()) ticket->cancel();
  }

  smollm3::OutputParser parser_;
  StopFilter stop_;
  bool tools_offered_;
  TurnListener listener_;
  bool called_tools_ = false;

  std::mutex mutex_;  // the engine's thread may read before submit_turn() has attached the ticket
  std::weak_ptr<Ticket> ticket_;
  bool cancelled_ = false;
};

}  // namespace

std::shared_ptr<Ticket> submit_turn(Engine& engine, const Turn& turn, TurnListener listener) {
  const smollm3::Prompt prompt = engine.chat_template().render(turn.input);
  std::vector<smollm3::Fragment> fragments;
  for (const auto& fragment : prompt.fragments) fragments.push_back({fragment.text, fragment.special_allowed});
  Request request{
      .prompt = engine.tokenizer().encode(fragments), .sampling = turn.sampling, .max_tokens = turn.max_tokens};
  auto reader = std::make_shared<TurnReader>(prompt.start, turn, std::move(listener));
  auto ticket = engine.submit(std::move(request), [reader](const Update& update) { reader->read(update); });
  reader->attach(ticket);
  return ticket;
}

}  // namespace engine
