// What a terminal that follows an answer is sent of it: the same as a page, as JSON.
//
//   {"anew": true,            what follows takes the place of all that came before
//    "thinking": "…",         text that follows
//    "text": "…",
//    "progress": {"state": "queued", …},
//    "interrupted": true,     it is over because something else ended it, and can be gone on with
//    "done": {…}}             it is over: as to_json(engine::Done)
//
// Fields that say nothing new are left out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "server/answer.h"
#include "server/model_facts.h"
#include "server/views.h"

namespace server {

// As AnswerView, whose pages it knows.
class AnswerJson {
 public:
  AnswerJson(std::int64_t number, const ModelFacts& facts, AnswerView::Page page = AnswerView::Page::Fresh,
             const Answer& shown = {});

  // The message that brings the reader up to date; empty if nothing changed.
  std::string update(const Answer& answer);
  static constexpr bool just_thought() { return false; }

 private:
  bool unknown_;
  std::size_t thinking_shown_;  // bytes
  std::size_t text_shown_;
  std::optional<engine::Progress> progress_{};  // none: the reader was told of none
};

// What such a message brings its reader.
struct AnswerUpdate {
  bool anew = false;
  std::string thinking{};
  std::string text{};
  std::optional<engine::Progress> progress{};
  bool interrupted = false;
  std::optional<engine::Done> done{};
};
// Throws base::Error (Internal) for what is no such message.
AnswerUpdate answer_update_from(const std::string& message);

}  // namespace server
