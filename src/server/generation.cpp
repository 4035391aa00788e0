#include "server/generation.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <mutex>
#include <optional>

namespace server {

namespace asio = boost::asio;
using engine::TurnEvent;

struct Generation::Mailbox : std::enable_shared_from_this<Mailbox> {
  explicit Mailbox(const asio::any_io_executor& io) : executor(io), timer(std::in_place, io), work(std::in_place, io) {}

  void put(const TurnEvent& event);
  bool empty() {
    const std::lock_guard lock(mutex);
    return events.empty();
  }

  std::mutex mutex;
  std::vector<TurnEvent> events;
  asio::any_io_executor executor;
  // Touched by the executor's thread alone; cancelled when something comes. Gone after Done: the engine may hold on to
  // its listener, and so to this, for longer than the executor lives.
  std::optional<asio::steady_timer> timer;
  // Until Done has come the engine may post here, so the executor must go on.
  std::optional<asio::executor_work_guard<asio::any_io_executor>> work;
};

namespace {

bool join(TurnEvent& last, const TurnEvent& next) {
  if (std::holds_alternative<engine::Progress>(last) && std::holds_alternative<engine::Progress>(next)) {
    last = next;
    return true;
  }
  auto* output = std::get_if<smollm3::OutputEvent>(&last);
  const auto* more = std::get_if<smollm3::OutputEvent>(&next);
  if (output == nullptr || more == nullptr || output->kind != more->kind) return false;
  if (output->kind == smollm3::OutputEvent::Kind::ToolCall) return false;
  output->text += more->text;
  return true;
}

}  // namespace

void Generation::Mailbox::put(const TurnEvent& event) {
  bool wake;
  {
    const std::lock_guard lock(mutex);
    wake = events.empty();
    if (wake || !join(events.back(), event)) events.push_back(event);
  }
  const bool last = std::holds_alternative<engine::Done>(event);
  if (!wake && !last) return;
  asio::post(executor, [self = shared_from_this(), last] {
    if (last) {
      self->timer.reset();
      self->work.reset();
    } else if (self->timer) {
      self->timer->cancel();
    }
  });
}

Generation::Generation(engine::Engine& engine, const engine::Turn& turn, asio::any_io_executor executor)
    : mailbox_(std::make_shared<Mailbox>(executor)),
      ticket_(engine::submit_turn(engine, turn, [box = mailbox_](const TurnEvent& event) { box->put(event); })) {}

Generation::~Generation() { ticket_->cancel(); }

Awaitable<void> Generation::wait(std::chrono::milliseconds at_most) {
  if (!mailbox_->empty() || !mailbox_->timer) co_return;
  mailbox_->timer->expires_after(at_most);
  co_await mailbox_->timer->async_wait(asio::as_tuple(asio::use_awaitable));
}

std::vector<TurnEvent> Generation::take() {
  const std::lock_guard lock(mailbox_->mutex);
  return std::exchange(mailbox_->events, {});
}

}  // namespace server
