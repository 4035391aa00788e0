// A turn that is rendered and checked, and that nothing is computed for until its owner says so: time to keep the
// request, so that an answer that was begun can be gone on with after the end of the process (see Request::said).
#pragma once

#include <memory>

#include "engine/arrival.h"
#include "engine/inbox.h"

namespace engine {

// May outlive the engine. One that is dropped before start() ends its generation, with Finish::Cancelled. A generation
// that is cancelled meanwhile ends when it is started or dropped.
class Prepared {
 public:
  // For the preparing thread.
  Prepared(Arrival arrival, std::shared_ptr<Inbox> inbox);
  Prepared(Prepared&&) noexcept = default;
  Prepared& operator=(Prepared&& other) noexcept;
  ~Prepared();

  const std::shared_ptr<Generation>& generation() const { return arrival_.generation; }
  // As it is computed: with the room that this engine has for it (Limits::room).
  const Request& request() const { return arrival_.request; }

  // Has it computed; from any thread, once. Throws base::Error if it cannot, as where the engine is gone or was
  // replaced meanwhile (Busy); the generation has ended with that error then.
  void start() &&;

 private:
  Arrival arrival_;
  std::shared_ptr<Inbox> inbox_;  // none: it was started, or moved from
};

}  // namespace engine
