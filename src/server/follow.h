// The stream that brings an answer to a page, or a terminal, word by word.
#pragma once

#include <cstdint>
#include <functional>

#include "server/answer.h"
#include "server/exchange.h"
#include "server/live.h"
#include "server/model_facts.h"

namespace server {

// What a message of the stream is: a fragment of the page (views.h), or JSON (answer_json.h).
enum class StreamForm { Page, Json };

// Sends what the page has not been shown, until the answer is over, or `gone` says that the server goes: then it ends
// without a word, so that the page comes back. Changes nothing, so that any number of pages may follow, each from where
// it is: a message's id is "EPOCH.NUMBER", with the number of the last event in it (engine/journal.h), and a page that
// comes back with it as Last-Event-ID is sent what differs from what it was shown by then. Of an answer that is gone on
// with after a restart, a page may have seen more than was kept: it waits until the same is there again. A page whose
// id fits nothing, or is of what does not come because the answer is paused, is sent everything, in place of what it
// shows.
Awaitable<void> follow_answer(Exchange& exchange, LiveAnswer answer, std::int64_t number, StreamForm form,
                              std::function<bool()> gone);

// The same of an answer that is in the store and that nobody adds to.
Awaitable<void> show_answer(Exchange& exchange, Answer answer, ModelFacts facts, std::int64_t number, StreamForm form);

// In place of that: there is no such answer (any more), which the page says from now on, and a terminal is told by an
// ApiError that this throws.
Awaitable<void> answer_is_lost(Exchange& exchange, std::int64_t number, StreamForm form);

}  // namespace server
