#include "server/answer_json.h"

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "server/api_error.h"
#include "server/saved_answer.h"

namespace server {
namespace {

using nlohmann::ordered_json;

constexpr std::array<std::pair<engine::State, const char*>, 5> states = {{{engine::State::Queued, "queued"},
                                                                          {engine::State::Reading, "reading"},
                                                                          {engine::State::Writing, "writing"},
                                                                          {engine::State::Paused, "paused"},
                                                                          {engine::State::Done, "done"}}};

ordered_json progress_json(const engine::Progress& progress) {
  const char* name = "";
  for (const auto& [state, its_name] : states) {
    if (state == progress.state) name = its_name;
  }
  return {{"state", name},
          {"wait_seconds", progress.wait_seconds},
          {"prompt_tokens", progress.prompt_tokens},
          {"prompt_done", progress.prompt_done},
          {"generated_tokens", progress.generated_tokens}};
}

engine::Progress progress_from(const ordered_json& object) {
  engine::Progress progress;
  for (const auto& [state, name] : states) {
    if (object.at("state") == name) progress.state = state;
  }
  object.at("wait_seconds").get_to(progress.wait_seconds);
  object.at("prompt_tokens").get_to(progress.prompt_tokens);
  object.at("prompt_done").get_to(progress.prompt_done);
  object.at("generated_tokens").get_to(progress.generated_tokens);
  return progress;
}

}  // namespace

AnswerJson::AnswerJson(std::int64_t /*number*/, const ModelFacts& /*facts*/, AnswerView::Page page, const Answer& shown)
    : unknown_(page == AnswerView::Page::Unknown),
      thinking_shown_(shown.thinking.size()),
      text_shown_(shown.text.size()) {}

std::string AnswerJson::update(const Answer& answer) {
  ordered_json message = ordered_json::object();
  if (std::exchange(unknown_, false)) message["anew"] = true;
  if (answer.thinking.size() > thinking_shown_) message["thinking"] = answer.thinking.substr(thinking_shown_);
  if (answer.text.size() > text_shown_) message["text"] = answer.text.substr(text_shown_);
  thinking_shown_ = answer.thinking.size();
  text_shown_ = answer.text.size();
  if (progress_ != answer.progress) message["progress"] = progress_json(answer.progress);
  progress_ = answer.progress;
  if (answer.interrupted) message["interrupted"] = true;
  if (answer.done) message["done"] = ordered_json::parse(to_json(*answer.done));
  return message.empty() ? std::string() : json_text(message);
}

AnswerUpdate answer_update_from(const std::string& text) {
  try {
    const ordered_json message = ordered_json::parse(text);
    AnswerUpdate update{.anew = message.value("anew", false),
                        .thinking = message.value("thinking", ""),
                        .text = message.value("text", ""),
                        .interrupted = message.value("interrupted", false)};
    if (message.contains("progress")) update.progress = progress_from(message["progress"]);
    if (message.contains("done")) update.done = done_from(message["done"].dump());
    return update;
  } catch (const nlohmann::json::exception& failure) {
    throw base::Error(base::ErrorKind::Internal, "server", failure.what());
  }
}

}  // namespace server
