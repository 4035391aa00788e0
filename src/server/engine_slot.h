// Where the server's engine is, so that another can take its place while the server runs. Nothing else holds the engine
// for longer than a call: what is under way is held as engine::Generation, what is told of the model as ModelFacts.
//
//            replace()                  the old one is gone             made, or made again
//   serving ───────────▶ retiring ───────────────────────▶ empty ──────────────────────────▶ serving
//                                                            │  neither could be made
//                                                            └───────▶ empty until the next replace()
//
// While it is not serving, what is asked is refused as Busy (Resource, if there is no engine at all).
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "server/model_facts.h"

namespace server {

class EngineSlot {
 public:
  // Makes an engine, which takes as long as it takes to load a model. Throws base::Error if it cannot.
  using Factory = std::function<std::unique_ptr<engine::Engine>()>;

  explicit EngineSlot(Factory factory);
  EngineSlot(const EngineSlot&) = delete;
  EngineSlot& operator=(const EngineSlot&) = delete;

  // All are safe from any thread, and none but replace() takes long.

  // The engine, for a call: whoever holds on to it holds up its replacement. Throws base::Error if there is none.
  std::shared_ptr<engine::Engine> engine() const;
  // Of the engine, or while there is none, of the last one.
  std::shared_ptr<const ModelFacts> facts() const;
  engine::Load load() const;
  // As engine::Engine::start.
  std::shared_ptr<engine::Generation> start(engine::Turn turn);
  std::shared_ptr<engine::Generation> start(engine::Request request);
  // As engine::Engine::prepare. What is prepared is of the model that facts() told of before, or of a later one.
  std::shared_ptr<engine::Generation> prepare(engine::Turn turn, engine::OnPrepared on_prepared);

  // Puts the engine that `factory` makes into the place of this one. What was begun ends first, which can take minutes;
  // turns that were not begun go to the new one. Both do not fit into memory, so the old one goes before the new one is
  // made. If that fails, the old one is made again, and the error is thrown; if that fails too, what waits ends with
  // that error. A second call waits for the first.
  void replace(Factory factory);

  // Ends all that is under way (Finish::Cancelled), and refuses what is asked from now on.
  void stop();

 private:
  class Between;

  void serve(std::shared_ptr<engine::Engine> engine, Between& turns);
  std::shared_ptr<engine::Generation> under_way(std::shared_ptr<engine::Generation> generation);

  std::mutex replacing_;  // one at a time
  Factory factory_;       // of the engine that is there, for replace()

  mutable std::mutex mutex_;  // of what follows
  std::shared_ptr<engine::Engine> engine_;
  std::shared_ptr<const ModelFacts> facts_;
  bool loading_ = false;  // there will be an engine soon
  bool stopped_ = false;
  std::vector<std::weak_ptr<engine::Generation>> under_way_;
};

}  // namespace server
