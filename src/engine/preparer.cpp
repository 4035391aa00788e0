#include "engine/preparer.h"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include "base/error.h"

namespace engine {
namespace {

void end(const Unprepared& turn, Finish finish, std::optional<base::Error> error = {}) {
  Usage usage;
  usage.queue_seconds = seconds(Clock::now() - turn.asked);
  turn.generation->journal().append(Done{.finish = finish, .error = std::move(error), .usage = usage});
}

}  // namespace

void check_request(const Request& request, const smollm3::Tokenizer& tokenizer, std::size_t context) {
  request.sampling.check();
  if (request.prompt.empty()) throw base::Error("prompt", "is empty", "write something");
  for (const Token token : request.prompt) {
    if (!tokenizer.is_valid(token)) throw base::Error("prompt", "has a token that the model does not know");
  }
  if (request.prompt.size() >= context) {
    throw base::Error(base::ErrorKind::TooLong, "conversation",
                      "it takes " + std::to_string(request.prompt.size()) + " tokens and the context holds " +
                          std::to_string(context),
                      "start a new one, or raise --ctx");
  }
}

Preparer::Preparer(const LoadedModel& loaded, std::size_t context)
    : loaded_(loaded), context_(context), thread_([this] { work(); }) {}

void Preparer::put(Unprepared turn) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) {
      queue_.push_back(std::move(turn));
      changed_.notify_all();
      return;
    }
  }
  end(turn, Finish::Cancelled);
}

void Preparer::ring() {
  std::vector<Unprepared> cancelled;
  {
    const std::lock_guard lock(mutex_);
    const auto gone = std::stable_partition(queue_.begin(), queue_.end(),
                                            [](const Unprepared& turn) { return !turn.generation->cancel_asked(); });
    cancelled.assign(std::move_iterator(gone), std::move_iterator(queue_.end()));
    queue_.erase(gone, queue_.end());
  }
  for (const Unprepared& turn : cancelled) end(turn, Finish::Cancelled);
  inbox_.ring();
}

std::size_t Preparer::waiting() const {
  const std::lock_guard lock(mutex_);
  return queue_.size() + (preparing_ ? 1 : 0);
}

std::vector<Unprepared> Preparer::hand_back() {
  std::unique_lock lock(mutex_);
  std::deque<Unprepared> turns = std::exchange(queue_, {});
  changed_.wait(lock, [this] { return !preparing_; });
  return {std::move_iterator(turns.begin()), std::move_iterator(turns.end())};
}

void Preparer::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  for (const Unprepared& turn : hand_back()) end(turn, Finish::Cancelled);
}

void Preparer::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return closed_ || !queue_.empty(); });
    if (closed_) return;
    Unprepared next = std::move(queue_.front());
    queue_.pop_front();
    preparing_ = true;
    lock.unlock();
    prepare_one(std::move(next));
    lock.lock();
    preparing_ = false;
    changed_.notify_all();
  }
}

void Preparer::prepare_one(Unprepared turn) {
  try {
    Request request = prepare(*turn.turn, loaded_.chat_template(), loaded_.tokenizer());
    check_request(request, loaded_.tokenizer(), context_);
    inbox_.put({turn.generation, std::move(request), turn.turn, turn.asked});
  } catch (const base::Error& error) {
    end(turn, Finish::Failed, error);
  } catch (const std::exception& error) {
    end(turn, Finish::Failed, base::Error(base::ErrorKind::Internal, "conversation", error.what()));
  }
}

}  // namespace engine
