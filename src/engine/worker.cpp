#include "engine/worker.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "engine/shared_beginnings.h"

namespace engine {
namespace {

constexpr auto report_interval = std::chrono::milliseconds(200);

base::Error as_error(const std::exception& failure) { return base::as_error(failure, "answer"); }

}  // namespace

Worker::Worker(LoadedModel& loaded, smollm3::PagePool& pool, std::size_t context, Inbox& inbox, Options options)
    : loaded_(loaded),
      pool_(pool),
      context_(context),
      inbox_(inbox),
      options_(std::move(options)),
      cache_(pool, options_.prompts == compute::Precision::Fast),
      writing_(loaded.model()),
      slices_{std::make_unique<PromptSlice>(loaded.model()), std::make_unique<PromptSlice>(loaded.model())} {}

Worker::~Worker() {
  take_arrivals();
  for (List* list : {&running_, &waiting_, &paused_}) end_all(std::exchange(*list, {}), Finish::Cancelled);
}

bool Worker::step() {
  try {
    const Clock::time_point began = options_.now();
    const Step step = plan();
    if (step.empty()) return false;
    const std::vector<Running*> writers = writers_of(step);  // what fails meanwhile changes everybody's place
    begin_slice(step);
    write(step, writers);
    read(step, began);
  } catch (const std::exception& failure) {
    give_up(failure);  // out of memory, or a device that is broken: what comes next is tried again
  }
  ++counts_.steps;
  return true;
}

// The answer begins with the token that comes next. One with a part in the slice has to wait for its end: the tokens
// that are computed there must stay its last.
void Worker::close_thinking() {
  for (const auto& running : running_) {
    if (running->is_to_close() && slice_of(*running) == nullptr) running->close_thinking(options_.now());
  }
}

Step Worker::plan() {
  inbox_.rang();
  take_arrivals();
  end_cancelled();
  end_late();
  pause_and_resume();
  close_thinking();
  admit();
  share_beginnings(
      running_, [this](const Running& one) { return slice_of(one) != nullptr; }, cache_);
  report_places();
  Step step;
  do {
    if (!slice().on_its_way()) std::swap(slices_[0], slices_[1]);
    const Budget now = budget();
    std::vector<Runnable> runnable;
    for (const auto& running : running_) {
      runnable.push_back(running->runnable(options_.prompts, now.rows));
      runnable.back().in_slice = slice_of(*running) != nullptr;
    }
    step = Scheduler::plan(runnable, slice().slice(), now, cost_);
  } while (!make_room(step));
  for (const auto& running : running_) ++running->sat_out;
  for (const Share& share : step.writers) running_[share.runnable]->sat_out = 0;
  if (!step.writers.empty() && step.layers > 0) ++counts_.mixed_steps;
  return step;
}

// Everybody who writes: one batch, and a token for each.
void Worker::write(const Step& step, std::span<Running* const> writers) {
  if (writers.empty()) return;
  std::vector<smollm3::Chunk> chunks;
  for (std::size_t i = 0; i < writers.size(); ++i) {
    chunks.push_back({.sequence = &writers[i]->sequence, .tokens = writers[i]->next_tokens(step.writers[i].rows)});
  }
  const Clock::time_point start = options_.now();
  try {
    writing_.begin(chunks);
    writing_.advance(writing_.layers_left());
    draw(writers, writing_.finish());
    cost_.writing.learn(step.writers_work, seconds(options_.now() - start));
  } catch (const std::exception& failure) {
    drop_slices();
    fail(writers, failure);
  }
}

std::vector<Running*> Worker::writers_of(const Step& step) const {
  std::vector<Running*> writers;
  for (const Share& share : step.writers) writers.push_back(running_[share.runnable].get());
  return writers;
}

void Worker::begin_slice(const Step& step) {
  if (step.slice.empty()) return;
  std::vector<Running*> who;
  std::vector<PromptSlice::Part> parts;
  for (const Share& share : step.slice) {
    Running& running = *running_[share.runnable];
    who.push_back(&running);
    running.charge_reading(share.rows);
    parts.push_back({&running, share.rows, running.completes(share.rows)});
  }
  try {
    if (step.overtakes) {
      slice().is_overtaken_by(step.slice_work.rows);
      std::swap(slices_[0], slices_[1]);
      ++counts_.overtaken;
    }
    slice().begin(std::move(parts), step.slice_work, options_.prompts);
  } catch (const std::exception& failure) {
    fail(who, failure);
  }
}

// Takes the slice on, layer by layer. Between them it looks up: whoever gave up meanwhile need not wait for its end,
// and whoever writes not for layers that take longer than was foreseen.
void Worker::read(const Step& step, Clock::time_point step_began) {
  const Clock::time_point began = last_report_ = options_.now();
  std::uint32_t done = 0;
  const std::vector<Running*> all = slice().readers();
  try {
    for (; slice().on_its_way() && done < step.layers; ++done) {
      if (!look_up()) break;
      if (time_is_over(step, done, step_began, began)) break;
      slice().advance();
      if (!step.writers.empty()) loaded_.device().wait();  // what a queue holds has taken no time yet
    }
    if (!slice().on_its_way() || done == 0) return;
    loaded_.device().wait();
    const double share = static_cast<double>(done) / loaded_.config().layers;
    const bool last = slice().slice()->layers_left == 0;
    // The last layer is computed for few rows alone, and says little of the others.
    if (!last || share == 1) cost_.reading.learn(slice().slice()->work, seconds(options_.now() - began) / share);
    if (last) {
      finish_slice();
    } else {
      ++counts_.layered;
    }
  } catch (const std::exception& failure) {
    drop_slices();
    fail(all, failure);
  }
}

// Whether another layer would make the step too long for those who write.
bool Worker::time_is_over(const Step& step, std::uint32_t done, Clock::time_point step_began,
                          Clock::time_point began) const {
  if (step.writers.empty() || done < step.least_layers) return false;
  const Clock::time_point now = options_.now();
  const double layer = done > 0 ? seconds(now - began) / done : step.layer_seconds;
  return seconds(now - step_began) + layer > seconds(options_.step);
}

// False if the slice is not to be taken on in this step.
bool Worker::look_up() {
  if (inbox_.closed()) return false;
  if (inbox_.rang()) {
    take_arrivals();
    end_cancelled();
    report_places();
    const auto closes = [&](const auto& running) { return running->is_to_close() && slice_of(*running) == nullptr; };
    if (!slice().on_its_way() || nobody_wants(slice()) || std::ranges::any_of(running_, closes)) return false;
  }
  const Clock::time_point now = options_.now();
  if (now - last_report_ < report_interval) return true;
  last_report_ = now;
  slice().report();
  return true;
}

void Worker::finish_slice() {
  const PromptSlice::Finished done = slice().finish();
  keep(done.gone);
  std::vector<Running*> who;  // null for those that are gone, of whom there is a row of logits all the same
  for (const PromptSlice::Part& part : done.parts) {
    if (part.draws) {
      who.push_back(part.gone ? nullptr : part.running);
      continue;
    }
    ++counts_.sliced;
    if (!part.gone) part.running->report();
  }
  if (!who.empty()) draw(who, done.logits);
}

void Worker::drop(PromptSlice& slice) { keep(slice.drop()); }

// After a failure: the device may have forgotten what it had not begun, of either.
void Worker::drop_slices() {
  for (const auto& slice : slices_) drop(*slice);
}

PromptSlice* Worker::slice_of(const Running& running) const {
  for (const auto& slice : slices_) {
    if (slice->has_part(running)) return slice.get();
  }
  return nullptr;
}

// What was computed for those that left a slice is kept.
void Worker::keep(const PromptSlice::Gone& gone) {
  for (const auto& running : gone) cache_.insert(running->sequence, running->transcript(), /*tail=*/true);
}

// Gives everybody the token that is drawn from his row of logits.
void Worker::draw(std::span<Running* const> who, compute::View logits) {
  std::vector<compute::SamplingRules> rules;
  for (Running* running : who) {
    rules.push_back(running != nullptr ? running->rules() : compute::SamplingRules{.temperature = 0});
  }
  std::vector<compute::Choice> choices(who.size());
  try {
    loaded_.device().candidates(logits, rules, choices);
  } catch (const std::exception& failure) {
    return fail(who, failure);
  }
  const Clock::time_point now = options_.now();
  for (std::size_t i = 0; i < who.size(); ++i) {
    if (who[i] == nullptr) continue;
    if (!choices[i].finite) {
      end(take_out(running_, who[i]), Finish::Failed,
          base::Error("logits", "are not finite: the model file is damaged or not a language model",
                      "download it again"));
      continue;
    }
    try {
      if (const auto ending = who[i]->advance(static_cast<Token>(choices[i].token), now)) {
        end(take_out(running_, who[i]), ending->finish, ending->error);
      } else {
        who[i]->report();
      }
    } catch (const std::exception& failure) {
      fail({&who[i], 1}, failure);
    }
  }
}

void Worker::fail(std::span<Running* const> who, const std::exception& failure) {
  const base::Error error = as_error(failure);
  for (Running* running : who) {
    if (auto failed = take_out(running_, running)) end(std::move(failed), Finish::Failed, error);
  }
}

// Null if it is not in the list.
std::unique_ptr<Running> Worker::take_out(List& list, const Running* running) {
  const auto found = std::ranges::find(list, running, &std::unique_ptr<Running>::get);
  if (found == list.end()) return nullptr;
  std::unique_ptr<Running> taken = std::move(*found);
  list.erase(found);
  return taken;
}

// The one place where a generation that arrived here ends. What it computed is kept, unless it failed.
void Worker::end(std::unique_ptr<Running> running, Finish finish, std::optional<base::Error> error) {
  ++counts_.ended;
  if (finish == Finish::Cancelled) ++counts_.cancelled;
  count();  // whoever reads the end finds it counted
  running->end(finish, std::move(error), options_.now());

  if (PromptSlice* slice = slice_of(*running)) {
    slice->leave(std::move(running));
    if (!slice->readers().empty()) return;
    ++counts_.given_up;
    drop(*slice);
  } else if (finish != Finish::Failed) {
    cache_.insert(running->sequence, running->transcript(), /*tail=*/true);
  }
}

void Worker::give_up(const std::exception& failure) {
  drop_slices();
  for (List* list : {&running_, &waiting_}) end_all(std::exchange(*list, {}), Finish::Failed, as_error(failure));
}

}  // namespace engine
