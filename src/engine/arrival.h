// A turn on its way to the worker, before anything was computed of it. Plain data.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <variant>

#include "base/error.h"
#include "engine/generation.h"
#include "engine/turn.h"

namespace engine {

using Clock = std::chrono::steady_clock;

inline double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

class Prepared;

// What became of a turn that was to be prepared: it is, or it is over, with the Done that its journal has. See
// Engine::prepare.
using Preparation = std::variant<Prepared, Done>;
using OnPrepared = std::function<void(Preparation)>;

// A turn that was asked and not begun.
struct Unbegun {
  std::shared_ptr<Generation> generation;
  std::shared_ptr<const Turn> turn;
  Clock::time_point asked;
  OnPrepared on_prepared = {};  // none: it is begun as soon as it is prepared

  // For whoever has it last: Done, with the time that it waited.
  void end(Finish finish, std::optional<base::Error> error = {}) const;
};

// What arrives at the worker: a generation, what it is to answer, and, if this was made of a turn, the turn and whom to
// tell if it is made again, for another model.
struct Arrival {
  std::shared_ptr<Generation> generation;
  Request request;
  std::shared_ptr<const Turn> turn;
  Clock::time_point asked;
  OnPrepared on_prepared = {};
};

}  // namespace engine
