#include "cli/answer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <utility>
#include <variant>

#include "base/error.h"
#include "base/utf8.h"
#include "cli/device_choice.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/model_choice.h"
#include "cli/output.h"

namespace cli {
namespace {

std::string rate(double tokens_per_second) {
  return fmt::format("{:.{}f}/s", tokens_per_second, tokens_per_second < 100 ? 1 : 0);
}

}  // namespace

std::unique_ptr<engine::Engine> load_engine(const Globals& globals, engine::Options options) {
  options.device = device_kind(globals);
  options.threads = globals.threads;
  options.context = globals.context;
  options.kv_memory = globals.kv_memory.value_or(0);
  options.exact = globals.exact;
  auto loaded = std::make_unique<engine::Engine>(open_model(globals), options);
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

std::optional<engine::Done> Follower::follow(Display& display, Interrupt interrupt) {
  for (bool noticed = false;;) {
    if (interrupted() && !std::exchange(noticed, true)) {
      if (interrupt == Interrupt::Cancels) {
        generation_->cancel();
      } else {
        generation_->pause();
      }
    }
    // A signal wakes nobody up, hence the patience.
    if (!generation_->journal().wait_for_more(place_, std::chrono::milliseconds(20))) {
      if (noticed && generation_->state() == engine::State::Paused) return std::nullopt;
      continue;
    }
    const engine::Journal::Reading reading = generation_->journal().read(place_);
    place_ = reading.next;
    display.show_progress(reading.progress);
    for (const engine::Event& event : reading.events) display.show(event.what);
    if (!reading.over) {
      if (noticed && reading.progress.state == engine::State::Paused) return std::nullopt;
      continue;
    }
    const auto& done = std::get<engine::Done>(reading.events.back().what);
    if (done.error) throw *done.error;
    return done;
  }
}

engine::Done follow(std::shared_ptr<engine::Generation> generation, Display& display) {
  return Follower(std::move(generation)).follow(display, Follower::Interrupt::Cancels).value();
}

void tell_if_cut_off(const engine::Done& done, std::uint32_t max_tokens, std::uint32_t context) {
  if (done.finish != engine::Finish::Length || (max_tokens != 0 && done.usage.generated_tokens >= max_tokens)) return;
  write_error(
      dim(STDERR_FILENO,
          fmt::format("The answer was cut off: the context of {} positions is full; --ctx raises it.", context)) +
      "\n");
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
