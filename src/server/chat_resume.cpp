// What the chat does by itself: it goes on with answers that the last server left, and erases what was deleted.
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <chrono>
#include <optional>
#include <utility>

#include "server/chat.h"
#include "server/log.h"
#include "server/on_store.h"
#include "server/saved_answer.h"
#include "server/sleep.h"
#include "server/views.h"

namespace server {
namespace {

using namespace std::chrono_literals;

// That what was deleted can be brought back, and that what is temporary is there.
constexpr store::Time undo_time = 24 * 3600 * 1000;
constexpr int most_vain_resumes = 2;

}  // namespace

Awaitable<void> Chat::work(bool resume) {
  using namespace boost::asio::experimental::awaitable_operators;
  co_await (live_.record() && take_up_all(resume));
}

Awaitable<void> Chat::take_up_all(bool resume) {
  for (bool failing = false; !live_.gone(); co_await sleep(1s)) {
    try {
      auto unfinished = co_await on_store(store_, [](store::Database& database) { return database.unfinished(); });
      // What was asked, or taken up, before.
      std::erase_if(unfinished, [&](const store::Unfinished& one) { return live_.find(one.answer) != nullptr; });
      to_take_up_.emplace();
      for (const store::Unfinished& one : unfinished) to_take_up_->insert(one.answer);
      for (store::Unfinished& one : unfinished) {
        const store::AnswerId id = one.answer;
        if (co_await take_up(std::move(one), resume)) to_take_up_->erase(id);
      }
      if (to_take_up_->empty()) co_return;
    } catch (const std::exception& failure) {
      if (!std::exchange(failing, true)) log_error(failure.what());
    }
  }
}

bool Chat::is_to_be_taken_up(const std::string& conversation) const {
  if (!to_take_up_) return true;
  const auto first = to_take_up_->lower_bound({.conversation = conversation});
  return first != to_take_up_->end() && first->conversation == conversation;
}

Awaitable<void> Chat::until_taken_up(std::string conversation, std::optional<std::chrono::seconds> patience) {
  const auto began = std::chrono::steady_clock::now();
  while (is_to_be_taken_up(conversation) && !live_.gone()) {
    if (patience && std::chrono::steady_clock::now() - began > *patience) co_return;
    co_await sleep(20ms);
  }
}

Awaitable<void> Chat::keep_house(bool titles) {
  using namespace boost::asio::experimental::awaitable_operators;
  if (titles) {
    co_await (purge() && give_titles());
  } else {
    co_await purge();
  }
}

Awaitable<void> Chat::purge() {
  for (; !live_.gone(); co_await sleep(10min)) {
    try {
      auto erase = [before = now() - undo_time, temporary = temporary_](store::Database& database) {
        if (temporary) {
          database.forget(before);
        } else {
          database.purge(before);
        }
      };
      co_await on_store(store_, std::move(erase));
    } catch (const base::Error& failure) {
      log_error(failure.what());
    }
  }
}

// False if the engine has no room for it yet.
Awaitable<bool> Chat::take_up(store::Unfinished unfinished, bool resume) {
  const bool goes_on = resume && unfinished.vain_resumes < most_vain_resumes &&
                       unfinished.fingerprint == fingerprint_of(*engines_.facts());
  if (goes_on) {
    // First: if this very answer brings the process down, that is counted. One that is paused only waits.
    if (unfinished.condition != store::Condition::Paused) {
      auto count = [id = unfinished.answer](store::Database& database) { database.resume(id); };
      co_await on_store(store_, std::move(count));
    }
    bool busy = false;
    try {
      start(unfinished);
      co_return true;
    } catch (const base::Error& failure) {
      busy = failure.kind() == base::ErrorKind::Busy;
      if (!busy) log_error(failure.what());
    }
    if (busy) {
      auto forgive = [id = unfinished.answer](store::Database& database) { database.forgive(id); };
      co_await on_store(store_, std::move(forgive));
      co_return false;
    }
  }
  co_await interrupt(unfinished);
  co_return true;
}

Awaitable<void> Chat::interrupt(const store::Unfinished& unfinished) {
  auto mark = [id = unfinished.answer, said = unfinished.said.size()](store::Database& database) {
    database.end({.answer = id, .first = static_cast<std::int64_t>(said)},
                 {.answer = id, .condition = store::Condition::Interrupted});
  };
  co_await on_store(store_, std::move(mark));
}

void Chat::start(const store::Unfinished& unfinished) {
  engine::Request request = request_from(unfinished);
  const std::size_t tokens = request.said.tokens.size();
  const Visitor visitor{.account = unfinished.account};
  request.asker = {.client = visitor.account, .account = visitor.salt()};  // from which address, nobody knows any more
  LiveAnswer answer{.account = unfinished.account,
                    .generation = engines_.start(std::move(request)),
                    .facts = engines_.facts(),
                    .epoch = unfinished.epoch};
  if (unfinished.condition == store::Condition::Paused) answer.generation->pause();
  live_.add(unfinished.answer, std::move(answer), tokens, unfinished.last_event);
}

Awaitable<void> Chat::let_go() { return live_.let_go(); }

// An answer that was interrupted is written on by the model of now, from where it stands.
Awaitable<bool> Chat::go_on(std::string account, std::string id) {
  co_await until_ready(id);
  const std::shared_ptr<const ModelFacts> facts = engines_.facts();
  co_await live_.settle(id);
  if (live_.of(id) != nullptr) {  // as when it was just deleted and brought back
    throw Refusal(409, "under_way", "The answer before has not ended yet. Try again in a moment.");
  }
  std::optional<store::Unfinished> unfinished;
  std::string conflict;
  try {
    auto reopen = [id, account, fingerprint = fingerprint_of(*facts)](store::Database& database) {
      const auto conversation = database.conversation(account, id);
      return conversation ? database.reopen({id, conversation->shown}, fingerprint) : std::nullopt;
    };
    unfinished = co_await on_store(store_, std::move(reopen));
  } catch (const store::Conflict& failure) {
    conflict = failure.what();
  }
  if (!conflict.empty()) throw Refusal(409, "other_model", conflict + ".");
  if (!unfinished) co_return false;
  std::optional<base::Error> failure;
  try {
    start(*unfinished);
  } catch (const base::Error& error) {
    failure = error;
  }
  if (failure) {
    co_await interrupt(*unfinished);
    throw *failure;
  }
  co_return true;
}

}  // namespace server
