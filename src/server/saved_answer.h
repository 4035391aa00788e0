// What the store keeps of an answer for the server, as JSON: how it was asked for, what it depends on, how it ended.
// Fields may be added; a text that an older version wrote is read with what it lacks left at its default.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/journal.h"
#include "engine/turn.h"
#include "server/answer.h"
#include "server/model_facts.h"
#include "store/records.h"

namespace server {

// Message::asked
struct Asked {
  bool think = true;
  ModelFacts facts{};    // of the model that was asked: its name, arithmetic and device
  std::string system{};  // the conversation's own system prompt; empty: it has none
};
std::string to_json(const Asked& asked);
Asked asked_from(const std::string& json);

// Message::ended
std::string to_json(const engine::Done& done);
engine::Done done_from(const std::string& json);

// Sampling parameters, as the fields of an object; those that are missing are left as they are. Throws
// nlohmann::json::exception for a field of another type.
nlohmann::json sampling_json(const engine::Sampling& sampling);
void read_sampling(const nlohmann::json& object, engine::Sampling& sampling);

// Question::settings, and all that is stored of a request.
std::string settings_of(const engine::Request& request);
store::Tokens prompt_of(const engine::Request& request);
// The request that goes on with it. Throws base::Error (Internal) if it cannot be read.
engine::Request request_from(const store::Unfinished& unfinished);

// Of the model that answers now.
store::Fingerprint fingerprint_of(const ModelFacts& facts);
// Milliseconds since 1970, as the store has them.
store::Time now();

// An answer as the store has it.
Answer answer_from(const store::Message& message);

}  // namespace server
