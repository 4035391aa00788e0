// The stream that brings an answer to a page word by word.
#pragma once

#include <cstddef>
#include <memory>

#include "engine/generation.h"
#include "server/exchange.h"
#include "server/model_facts.h"

namespace server {

// Sends what the page has not been shown, until the answer is over. Changes nothing, so that any number of pages may
// follow, each from where it is: a message's id is the number of the last event in it (engine/journal.h), and a page
// that comes back with it as Last-Event-ID is sent what differs from what it was shown by then. A page whose number
// fits no event is sent everything, in place of what it shows.
// `facts`: of the model that was asked.
Awaitable<void> follow_answer(Exchange& exchange, std::shared_ptr<engine::Generation> generation,
                              std::shared_ptr<const ModelFacts> facts, std::size_t round);

// In place of that: there is no such answer (any more), which the page says from now on.
Awaitable<void> answer_is_lost(Exchange& exchange, std::size_t round);

}  // namespace server
