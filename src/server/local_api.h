// What the server's own user has at its local socket (local_socket.h) beside the pages and the API: the conversations
// of the page as JSON, by the same functions of Chat. It is for this program's own terminal (local_client.h), of the
// same version, and is not found at the server's port.
//
//   GET  /local/model                  LocalModel
//   GET  /local/conversations          [LocalHead, …], the last changed first
//   GET  /local/c/ID                   LocalConversation
//   POST /local/c/ID/messages          message_json(); {"number": of the answer, which has begun}
//   GET  /local/c/ID/stream/N          follows an answer: an event stream of AnswerJson, as follow.h has it
//   POST /local/c/ID/stop, pause, resume
//   POST /local/c/ID/continue          {"goes_on": whether there was an answer to go on with}
//
// Errors have the form of the API (api_error.h), with the codes of Refusal.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "server/chat.h"
#include "server/engine_slot.h"
#include "server/exchange.h"

namespace server {

struct LocalModel {
  std::string version{};  // of the program
  std::string name{};     // from here on as ModelFacts
  std::string file{};
  std::string device{};
  std::string mode{};
  std::uint32_t context = 0;
  int threads = 0;
};

struct LocalHead {
  std::string id{};
  std::string title{};
  store::Time changed = 0;
};

struct LocalRound {
  std::int64_t number = 0;  // of the answer
  std::string question{};
  bool open = false;         // the answer is being written, or is paused: what there is of it the stream tells
  bool interrupted = false;  // as of Answer
  std::string thinking{};
  std::string text{};
};

struct LocalConversation {
  std::string id{};
  std::string title{};
  std::int64_t last = 0;  // number of the last message
  std::vector<LocalRound> rounds{};
};

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LocalModel, version, name, file, device, mode, context, threads)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LocalHead, id, title, changed)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LocalRound, number, question, open, interrupted, thinking, text)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LocalConversation, id, title, last, rounds)

nlohmann::json message_json(const Message& message);

// Answers a request at /local/. Throws what told_to_client() (api_error.h) makes an answer of.
Awaitable<void> answer_local(Chat& chat, EngineSlot& engines, Exchange& exchange);

}  // namespace server
