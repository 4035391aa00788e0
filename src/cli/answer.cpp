#include "cli/answer.h"

#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "cli/device_choice.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/model_choice.h"

namespace cli {
namespace {

// Carries events from the engine's thread to this one, so that a slow terminal never holds the engine up.
template <typename T>
class Mailbox {
 public:
  void put(T event) {
    {
      const std::lock_guard lock(mutex_);
      events_.push_back(std::move(event));
    }
    arrived_.notify_one();
  }

  std::optional<T> take(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    if (!arrived_.wait_for(lock, patience, [this] { return !events_.empty(); })) return std::nullopt;
    T event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<T> events_;
};

// Takes events until `read` returns how it ended. A signal wakes nobody up, hence the patience.
template <typename T, typename Read>
engine::Done wait_for_end(Mailbox<T>& mailbox, engine::Ticket& ticket, Read&& read) {
  for (bool cancelled = false;;) {
    if (interrupted() && !std::exchange(cancelled, true)) ticket.cancel();
    const std::optional<T> event = mailbox.take(std::chrono::milliseconds(20));
    if (!event) continue;
    const std::optional<engine::Done> done = read(*event);
    if (!done) continue;
    if (done->finish == engine::Finish::Failed) throw base::Error("answer", done->error);
    return *done;
  }
}

std::string rate(double tokens_per_second) {
  return fmt::format("{:.{}f}/s", tokens_per_second, tokens_per_second < 100 ? 1 : 0);
}

}  // namespace

std::unique_ptr<engine::Engine> load_engine(const Globals& globals) {
  auto loaded = std::make_unique<engine::Engine>(open_model(globals), engine::Options{.device = device_kind(globals),
                                                                                      .threads = globals.threads,
                                                                                      .context = globals.context,
                                                                                      .exact = globals.exact});
  announce_model(globals, loaded->file());
  say_device_note(globals, loaded->device_note());
  return loaded;
}

void SamplingOptions::declare(Command& command) {
  command.option("--temp", "T", "Temperature; 0 always takes the most likely token (default: 0.6)",
                 sampling.temperature);
  command.option("--top-p", "P", "Keep the most likely tokens that have this probability in all (default: 0.95)",
                 sampling.top_p);
  command.option("--top-k", "K", "Keep the K most likely tokens (default: 0, all)", sampling.top_k);
  command.option("--min-p", "P", "Keep tokens at least this fraction as likely as the most likely (default: 0)",
                 sampling.min_p);
  command.option("--max-tokens", "N", "End an answer after N tokens (default: when the context is full)", max_tokens);
  command.option("--seed", "N", "Draw the same tokens again (default: a new seed each time)", seed);
}

engine::Sampling SamplingOptions::choose() const {
  engine::Sampling chosen = sampling;
  chosen.seed = seed ? *seed : std::random_device{}();
  chosen.check();
  return chosen;
}

void require_utf8(const std::string& name, const std::string& text) {
  if (!base::utf8::is_valid(text)) throw base::Error(name, "is not UTF-8 text", "convert it, for example with iconv");
}

engine::Done follow(engine::Engine& engine, const engine::Turn& turn,
                    const std::function<void(const smollm3::OutputEvent&)>& show) {
  auto mailbox = std::make_shared<Mailbox<engine::TurnEvent>>();
  const auto ticket =
      engine::submit_turn(engine, turn, [mailbox](const engine::TurnEvent& event) { mailbox->put(event); });
  return wait_for_end(*mailbox, *ticket, [&](const engine::TurnEvent& event) -> std::optional<engine::Done> {
    if (const auto* output = std::get_if<smollm3::OutputEvent>(&event)) show(*output);
    const auto* done = std::get_if<engine::Done>(&event);
    return done ? std::optional(*done) : std::nullopt;
  });
}

engine::Done follow(engine::Engine& engine, engine::Request request,
                    const std::function<void(const std::string& text)>& show) {
  auto mailbox = std::make_shared<Mailbox<engine::Update>>();
  const auto ticket =
      engine.submit(std::move(request), [mailbox](const engine::Update& update) { mailbox->put(update); });
  return wait_for_end(*mailbox, *ticket, [&](const engine::Update& update) -> std::optional<engine::Done> {
    if (!update.text.empty()) show(update.text);
    if (!update.finish) return std::nullopt;
    return engine::Done{.finish = *update.finish, .error = update.error, .usage = update.usage};
  });
}

std::string figures(const engine::Usage& usage) {
  std::string line = fmt::format("{} tokens", grouped(usage.generated_tokens));
  if (usage.generate_speed() > 0) line += " at " + rate(usage.generate_speed());
  line += fmt::format(" · prompt {} tokens", grouped(usage.prompt_tokens));
  if (usage.cached_tokens > 0) line += fmt::format(", {} of them known", grouped(usage.cached_tokens));
  if (usage.prompt_speed() > 0) line += ", at " + rate(usage.prompt_speed());
  return line;
}

}  // namespace cli
