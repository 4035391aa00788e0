#include "server/recorder.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "server/answer.h"
#include "server/log.h"
#include "server/saved_answer.h"

namespace server {

void Recorder::follow(store::AnswerId answer, std::shared_ptr<engine::Generation> generation, std::size_t tokens,
                      std::uint64_t last_event) {
  // One of the same id is of a conversation that was replaced, as by a backup.
  std::erase_if(all_, [&](const Recording& one) { return one.answer == answer; });
  all_.push_back({std::move(answer), std::move(generation), tokens, last_event});
}

// In one transaction; where one does not fit what is there, that one alone is left out. Says which were stored.
std::vector<bool> Recorder::record_all(store::Database& database, std::span<const store::Gain> gains) {
  std::vector<bool> stored(gains.size(), true);
  if (gains.empty()) return stored;
  try {
    database.record(gains);
    return stored;
  } catch (const store::Conflict&) {
    // Whose it is shows one by one.
  }
  for (std::size_t i = 0; i < gains.size(); ++i) {
    try {
      database.record(gains.subspan(i, 1));
    } catch (const store::Conflict& conflict) {
      log_error(conflict.what());
      stored[i] = false;
    }
  }
  return stored;
}

Recorder::Step Recorder::step_of(const Recording& recording) {
  const engine::Journal& journal = recording.generation->journal();
  // Events first: of whatever they are made, the tokens are there by then.
  const engine::Journal::Reading reading = journal.read({.event = recording.last_event});
  engine::Said said = journal.said(recording.tokens);
  Answer news;
  news.add(reading);
  Step step{.gain = {.answer = recording.answer,
                     .first = static_cast<std::int64_t>(recording.tokens),
                     .tokens = std::move(said.tokens),
                     .thinking = std::move(news.thinking),
                     .text = std::move(news.text),
                     .last_event = reading.next.event,
                     .writing_seconds = said.generate_seconds,
                     .thinking_seconds = said.thinking_seconds},
            .ended = {}};
  if (news.done) step.ended = to_json(*news.done);
  return step;
}

std::vector<store::AnswerId> Recorder::answers() const {
  std::vector<store::AnswerId> answers;
  for (const Recording& recording : all_) answers.push_back(recording.answer);
  return answers;
}

std::vector<store::AnswerId> Recorder::record(store::Database& database) {
  std::vector<Recording*> all;
  for (Recording& recording : all_) all.push_back(&recording);
  return record(database, all);
}

std::vector<store::AnswerId> Recorder::record(store::Database& database, const std::string& conversation) {
  std::vector<Recording*> chosen;
  for (Recording& recording : all_) {
    if (recording.answer.conversation == conversation) chosen.push_back(&recording);
  }
  return record(database, chosen);
}

std::vector<store::AnswerId> Recorder::record(store::Database& database, const std::vector<Recording*>& chosen) {
  std::vector<store::Gain> gains;
  std::vector<Recording*> gaining;
  std::vector<std::pair<const Recording*, Step>> ending;
  for (Recording* recording : chosen) {
    if (!recording->sure) {  // the last time failed, or its success was not heard of
      std::tie(recording->tokens, recording->last_event) = database.recorded(recording->answer);
      recording->sure = true;
    }
    const bool paused = recording->generation->pause_asked();
    Step step = step_of(*recording);
    if (!step.ended.empty()) {
      ending.emplace_back(recording, std::move(step));
      continue;
    }
    if (paused != recording->paused) {
      recording->paused.reset();
      database.pause(recording->answer, paused);
      recording->paused = paused;
    }
    if (step.gain.tokens.empty()) continue;  // what there is of text comes with the next token
    gains.push_back(std::move(step.gain));
    gaining.push_back(recording);
  }
  for (Recording* recording : gaining) recording->sure = false;
  const std::vector<bool> stored = record_all(database, gains);
  for (std::size_t i = 0; i < gains.size(); ++i) {
    if (!stored[i]) continue;
    gaining[i]->sure = true;
    gaining[i]->tokens += gains[i].tokens.size();
    gaining[i]->last_event = gains[i].last_event;
  }

  // An end that is stored again, after a failure here, has no effect.
  std::vector<store::AnswerId> over;
  for (const auto& [recording, step] : ending) {
    database.end(step.gain, {.answer = recording->answer, .ended = step.ended});
    over.push_back(recording->answer);
  }
  std::erase_if(all_, [&](const Recording& one) { return std::ranges::find(over, one.answer) != over.end(); });
  return over;
}

}  // namespace server
