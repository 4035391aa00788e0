#include "server/journal_reader.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <mutex>
#include <optional>
#include <utility>

namespace server {

namespace asio = boost::asio;

// What a wake touches. It may outlive the reader and the executor's context, in the hands of the journal.
struct JournalReader::Alarm : std::enable_shared_from_this<Alarm> {
  explicit Alarm(const asio::any_io_executor& io) : executor(io), timer(std::in_place, io) {}

  // On the thread that writes the journal.
  void ring() noexcept {
    const std::lock_guard lock(mutex);
    if (!executor) return;
    try {
      asio::post(*executor, [alarm = shared_from_this()] { alarm->wake(); });
    } catch (const std::bad_alloc&) {
      // Then the reader sleeps until its patience ends.
    }
  }

  void wake() {
    rang = true;
    if (timer) timer->cancel();
  }

  // On the executor's thread: no post follows, so that the context may go.
  void disconnect() {
    timer.reset();
    const std::lock_guard lock(mutex);
    executor.reset();
  }

  std::mutex mutex;
  std::optional<asio::any_io_executor> executor;  // none once the reader is gone
  // For the executor's thread.
  std::optional<asio::steady_timer> timer;
  bool rang = false;
};

JournalReader::JournalReader(std::shared_ptr<engine::Generation> generation, const asio::any_io_executor& executor,
                             std::uint64_t from)
    : generation_(std::move(generation)), place_{.event = from}, alarm_(std::make_shared<Alarm>(executor)) {}

JournalReader::~JournalReader() { alarm_->disconnect(); }

engine::Journal::Reading JournalReader::read() {
  engine::Journal::Reading reading = generation_->journal().read(place_);
  place_ = reading.next;
  return reading;
}

Awaitable<bool> JournalReader::wait(std::chrono::milliseconds patience) {
  alarm_->rang = false;
  alarm_->timer->expires_after(patience);
  watch_ = generation_->journal().when_more(place_, [alarm = alarm_] { alarm->ring(); });
  co_await alarm_->timer->async_wait(asio::as_tuple(asio::use_awaitable));
  co_return alarm_->rang;
}

}  // namespace server
