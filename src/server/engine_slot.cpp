#include "server/engine_slot.h"

#include <deque>
#include <exception>
#include <filesystem>
#include <iterator>
#include <thread>
#include <utility>

#include "base/error.h"

namespace server {
namespace {

using base::Error;
using base::ErrorKind;

ModelFacts facts_of(const engine::Engine& engine) {
  const std::vector<std::string>& files = engine.file().paths();
  return {.name = engine.model_name(),
          .file = files.empty() ? std::string() : std::filesystem::absolute(files.front()).string(),
          .device = engine.device_name(),
          .mode = engine.mode(),
          .context = engine.context(),
          .kv_positions = engine.kv_positions(),
          .threads = engine.threads(),
          .fingerprint = engine.fingerprint()};
}

// Waits until nobody else holds the engine, so that its memory is free when this returns.
void let_go(std::shared_ptr<engine::Engine>&& engine) {
  while (engine.use_count() > 1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  engine.reset();
}

}  // namespace

// Turns between two engines, which can still be cancelled.
class EngineSlot::Between : public engine::Bell {
 public:
  static std::shared_ptr<Between> of(std::vector<engine::Unbegun> turns) {
    auto between = std::make_shared<Between>();
    {
      const std::lock_guard lock(between->mutex_);
      between->turns_ = {std::make_move_iterator(turns.begin()), std::make_move_iterator(turns.end())};
      for (const engine::Unbegun& turn : between->turns_) turn.generation->belongs_to(between);
    }
    between->ring();  // some may have been cancelled while they were nobody's
    return between;
  }

  void ring() override { engine::end_cancelled(turns_, std::unique_lock(mutex_)); }

  std::vector<engine::Unbegun> take() {
    const std::lock_guard lock(mutex_);
    const std::deque<engine::Unbegun> turns = std::exchange(turns_, {});
    return {turns.begin(), turns.end()};
  }

 private:
  std::mutex mutex_;
  std::deque<engine::Unbegun> turns_;
};

EngineSlot::EngineSlot(Factory factory) : factory_(std::move(factory)) { serve(factory_(), *Between::of({})); }

std::shared_ptr<engine::Engine> EngineSlot::engine() const {
  const std::lock_guard lock(mutex_);
  if (stopped_) throw Error(ErrorKind::Busy, "server", "it is shutting down", "try again in a moment");
  if (engine_) return engine_;
  if (loading_) throw Error(ErrorKind::Busy, "model", "it is being replaced by another", "try again in a moment");
  throw Error(ErrorKind::Resource, "model", "none could be loaded; the server's log says why");
}

std::shared_ptr<const ModelFacts> EngineSlot::facts() const {
  const std::lock_guard lock(mutex_);
  return facts_;
}

engine::Load EngineSlot::load() const {
  std::shared_ptr<engine::Engine> engine;
  {
    const std::lock_guard lock(mutex_);
    engine = engine_;
  }
  return engine ? engine->load() : engine::Load{};
}

std::shared_ptr<engine::Generation> EngineSlot::start(engine::Turn turn) {
  return under_way(engine()->start(std::move(turn)));
}

std::shared_ptr<engine::Generation> EngineSlot::start(engine::Request request) {
  return under_way(engine()->start(std::move(request)));
}

std::shared_ptr<engine::Generation> EngineSlot::prepare(engine::Turn turn, engine::OnPrepared on_prepared) {
  return under_way(engine()->prepare(std::move(turn), std::move(on_prepared)));
}

std::shared_ptr<engine::Generation> EngineSlot::under_way(std::shared_ptr<engine::Generation> generation) {
  const std::lock_guard lock(mutex_);
  std::erase_if(under_way_, [](const std::weak_ptr<engine::Generation>& one) {
    const auto held = one.lock();
    return !held || held->journal().over();
  });
  under_way_.push_back(generation);
  if (stopped_) generation->cancel();
  return generation;
}

void EngineSlot::replace(Factory factory) {
  const std::lock_guard one_at_a_time(replacing_);
  std::shared_ptr<engine::Engine> old;
  {
    const std::lock_guard lock(mutex_);
    old = engine_;
  }
  const std::shared_ptr<Between> turns = Between::of(old ? old->retire() : std::vector<engine::Unbegun>());
  {
    const std::lock_guard lock(mutex_);
    engine_.reset();
    loading_ = true;
  }
  if (old) let_go(std::move(old));

  std::exception_ptr failure;
  try {
    serve(factory(), *turns);
    factory_ = std::move(factory);
    return;
  } catch (...) {
    failure = std::current_exception();
  }
  try {
    serve(factory_(), *turns);
  } catch (const std::exception& again) {
    const std::lock_guard lock(mutex_);
    loading_ = false;
    for (const engine::Unbegun& turn : turns->take()) turn.end(engine::Finish::Failed, base::as_error(again, "model"));
  }
  std::rethrow_exception(failure);
}

// All that can throw comes before the turns are handed over.
void EngineSlot::serve(std::shared_ptr<engine::Engine> engine, Between& turns) {
  auto facts = std::make_shared<const ModelFacts>(facts_of(*engine));
  engine->adopt(turns.take());
  const std::lock_guard lock(mutex_);
  engine_ = std::move(engine);
  facts_ = std::move(facts);
  loading_ = false;
}

void EngineSlot::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  for (const auto& one : under_way_) {
    if (const auto generation = one.lock()) generation->cancel();
  }
}

}  // namespace server
