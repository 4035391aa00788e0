#include "server/live.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <utility>

#include "server/log.h"
#include "server/on_store.h"

namespace server {
namespace {

using namespace std::chrono_literals;

// What was shown a second ago is in the store, if that takes less than half a second.
constexpr auto interval = 400ms;

}  // namespace

void LiveAnswers::add(const store::AnswerId& id, LiveAnswer answer, std::size_t tokens, std::uint64_t last_event) {
  if (gone_) return;
  store_.post([recorder = recorder_, id, generation = answer.generation, tokens, last_event](store::Database&) {
    recorder->follow(id, generation, tokens, last_event);
  });
  // One of the same id is of a conversation that was replaced, as by a backup.
  if (const LiveAnswer* before = find(id); before != nullptr && before->generation != answer.generation) {
    before->generation->cancel();
  }
  answers_.insert_or_assign(id, std::move(answer));
  wake();
}

const LiveAnswer* LiveAnswers::find(const store::AnswerId& id) const {
  const auto found = answers_.find(id);
  return found == answers_.end() ? nullptr : &found->second;
}

const LiveAnswer* LiveAnswers::of(const std::string& conversation) const {
  const auto found = answers_.lower_bound({.conversation = conversation});
  return found != answers_.end() && found->first.conversation == conversation ? &found->second : nullptr;
}

void LiveAnswers::forget(const std::vector<store::AnswerId>& over) {
  for (const store::AnswerId& id : over) {
    // By now another one may be under way there.
    if (const LiveAnswer* answer = find(id); answer != nullptr && answer->generation->journal().over())
      answers_.erase(id);
  }
}

void LiveAnswers::wake() {
  if (pause_ != nullptr && (gone_ || answers_.size() == 1)) pause_->cancel();
}

Awaitable<void> LiveAnswers::record() {
  boost::asio::steady_timer pause(co_await boost::asio::this_coro::executor);
  struct Reachable {
    boost::asio::steady_timer*& pointer;
    ~Reachable() { pointer = nullptr; }
  } const reachable{pause_};
  pause_ = &pause;
  while (!gone_) {
    // While nothing is under way, it sleeps until it is woken.
    pause.expires_after(answers_.empty() ? 24h : interval);
    co_await pause.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    if (answers_.empty() || gone_) continue;
    try {
      auto record_all = [recorder = recorder_](store::Database& database) { return recorder->record(database); };
      const std::vector<store::AnswerId> over = co_await on_store(store_, std::move(record_all));
      forget(over);
      if (std::exchange(failing_, false)) log_info("answers are stored again; nothing was lost");
    } catch (const std::exception& failure) {
      if (!std::exchange(failing_, true)) {
        log_error(std::string(failure.what()) + " (answers go on, and are stored once it can be done)");
      }
    }
  }
}

Awaitable<void> LiveAnswers::settle(std::string conversation) {
  auto record_it = [recorder = recorder_, conversation = std::move(conversation)](store::Database& database) {
    return recorder->record(database, conversation);
  };
  const std::vector<store::AnswerId> over = co_await on_store(store_, std::move(record_it));
  forget(over);
}

Awaitable<void> LiveAnswers::let_go() {
  gone_ = true;
  wake();
  try {
    auto record_last = [recorder = recorder_](store::Database& database) {
      struct LetGo {
        Recorder& recorder;
        ~LetGo() { recorder.let_go(); }
      } const let_go{*recorder};
      recorder->record(database);
      // This server ends in order: none of them has brought it down.
      for (const store::AnswerId& answer : recorder->answers()) database.forgive(answer);
    };
    co_await on_store(store_, std::move(record_last));
  } catch (const std::exception& failure) {
    log_error(failure.what());
  }
}

}  // namespace server
