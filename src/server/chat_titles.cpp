// Titles that the model writes while nobody needs it.
#include <chrono>
#include <optional>
#include <utility>

#include "server/answer.h"
#include "server/chat.h"
#include "server/log.h"
#include "server/on_store.h"
#include "server/sleep.h"
#include "server/titles.h"

namespace server {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t most_tokens = 32;

engine::Turn turn_for(const store::Unnamed& conversation) {
  engine::Turn turn;
  turn.input.messages = nlohmann::ordered_json::array();
  turn.input.messages.push_back(
      {{"role", "user"}, {"content", title_request(conversation.question, conversation.answer)}});
  turn.input.enable_thinking = false;
  turn.sampling.temperature = 0;
  turn.limits.max_tokens = most_tokens;
  turn.asker = {.client = "titles", .account = Visitor{.account = conversation.account}.salt()};
  return turn;
}

}  // namespace

Awaitable<void> Chat::give_titles() {
  for (; !live_.gone(); co_await sleep(1s)) {
    if (!may_be_unnamed_ || others_need_engine(/*mine=*/0)) continue;
    try {
      auto find = [](store::Database& database) { return database.unnamed(); };
      const std::optional<store::Unnamed> conversation = co_await on_store(store_, std::move(find));
      if (conversation) {
        co_await give_title(*conversation);
      } else if (live_.empty()) {
        may_be_unnamed_ = false;
      }
    } catch (const base::Error& failure) {
      log_error(failure.what());
      may_be_unnamed_ = false;  // until something is said again
    }
  }
}

bool Chat::others_need_engine(std::uint32_t mine) const {
  const engine::Load load = engines_.load();
  return load.running + load.waiting > mine;
}

// Without effect if others come first.
Awaitable<void> Chat::give_title(const store::Unnamed& conversation) {
  std::string title = title_of(conversation.question);
  // The demo model has not learnt to write titles.
  if (!is_demo(*engines_.facts())) {
    const auto generation = engines_.start(turn_for(conversation));
    while (!generation->journal().over()) {
      if (others_need_engine(/*mine=*/1)) generation->cancel();
      co_await sleep(50ms);
    }
    const Answer answer = answer_of(generation->journal());
    if (answer.done->finish == engine::Finish::Cancelled) co_return;
    if (!answer.failed()) title = title_from(answer.text).value_or(title);
  }
  auto name = [id = conversation.id, title](store::Database& database) { database.name(id, title); };
  co_await on_store(store_, std::move(name));
}

}  // namespace server
