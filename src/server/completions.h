// POST /v1/chat/completions: one answer, whole or as a stream of events; and what can be asked of one under way.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "server/engine_slot.h"
#include "server/exchange.h"
#include "server/visitor.h"

namespace server {

class Completions {
 public:
  // `engines` must outlive this.
  explicit Completions(EngineSlot& engines) : engines_(engines) {}

  // A client that leaves ends its answer. Throws ApiError or base::Error if the request is refused, or the answer
  // failed, and nothing was sent yet.
  Awaitable<void> answer(Exchange& exchange, const Visitor& visitor);

  // POST /v1/chat/completions/ID/ACTION: pause, resume or finish_thinking. Throws ApiError if no such answer of the
  // visitor's account is under way, or there is no such action.
  Response control(const Visitor& visitor, const std::string& id, const std::string& action) const;

 private:
  struct UnderWay {
    std::string account;
    std::shared_ptr<engine::Generation> generation;
  };
  class Wanted;

  EngineSlot& engines_;
  std::map<std::string, UnderWay> under_way_;  // by id
};

}  // namespace server
