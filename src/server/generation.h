// An answer on its way from the engine's thread to a coroutine of the server. The engine is never kept waiting: what
// its client does not take yet piles up here as one piece of text. Whoever drops the Generation cancels the answer.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "engine/assistant.h"
#include "server/exchange.h"

namespace server {

class Generation {
 public:
  // Throws base::Error as engine::submit_turn does.
  Generation(engine::Engine& engine, const engine::Turn& turn, boost::asio::any_io_executor executor);
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // Returns once there are events to take, or after `at_most`.
  Awaitable<void> wait(std::chrono::milliseconds at_most);
  // What happened since the last call, in order; adjacent pieces of one kind are joined.
  std::vector<engine::TurnEvent> take();

  // Ends the answer soon; Done still comes.
  void cancel() { ticket_->cancel(); }
  std::uint32_t ahead() const { return ticket_->ahead(); }

 private:
  struct Mailbox;

  std::shared_ptr<Mailbox> mailbox_;
  std::shared_ptr<engine::Ticket> ticket_;
};

}  // namespace server
