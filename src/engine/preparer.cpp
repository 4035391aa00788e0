#include "engine/preparer.h"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include "base/error.h"

namespace engine {

void Unbegun::end(Finish finish, std::optional<base::Error> error) const {
  Usage usage;
  usage.queue_seconds = seconds(Clock::now() - asked);
  generation->journal().append(Done{.finish = finish, .error = std::move(error), .usage = usage});
}

// Ends are told without the lock: whoever reads them may ask for something else at once.
void end_cancelled(std::deque<Unbegun>& turns, std::unique_lock<std::mutex> lock) {
  const auto gone = std::stable_partition(turns.begin(), turns.end(),
                                          [](const Unbegun& turn) { return !turn.generation->cancel_asked(); });
  const std::vector<Unbegun> cancelled(std::make_move_iterator(gone), std::make_move_iterator(turns.end()));
  turns.erase(gone, turns.end());
  lock.unlock();
  for (const Unbegun& turn : cancelled) turn.end(Finish::Cancelled);
}

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

Preparer::Preparer(const LoadedModel& loaded, std::size_t context, std::string system)
    : loaded_(loaded), context_(context), system_(std::move(system)), thread_([this] { work(); }) {}

void Preparer::put(Unbegun turn) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) {
      queue_.push_back(std::move(turn));
      changed_.notify_all();
      return;
    }
  }
  turn.end(Finish::Cancelled);
}

void Preparer::ring() {
  end_cancelled(queue_, std::unique_lock(mutex_));
  inbox_.ring();
}

std::size_t Preparer::waiting() const {
  const std::lock_guard lock(mutex_);
  return queue_.size() + (preparing_ ? 1 : 0);
}

std::vector<Unbegun> Preparer::hand_back() {
  std::unique_lock lock(mutex_);
  std::deque<Unbegun> turns = std::exchange(queue_, {});
  changed_.wait(lock, [this] { return !preparing_; });
  return {std::make_move_iterator(turns.begin()), std::make_move_iterator(turns.end())};
}

void Preparer::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  for (const Unbegun& turn : hand_back()) turn.end(Finish::Cancelled);
}

void Preparer::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return closed_ || !queue_.empty(); });
    if (closed_) return;
    const Unbegun next = std::move(queue_.front());
    queue_.pop_front();
    preparing_ = true;
    lock.unlock();
    prepare_one(next);
    lock.lock();
    preparing_ = false;
    changed_.notify_all();
  }
}

void Preparer::prepare_one(const Unbegun& turn) {
  try {
    Request request = prepare(*turn.turn, system_, loaded_.chat_template(), loaded_.tokenizer());
    check_request(request, loaded_.tokenizer(), context_);
    inbox_.put({turn.generation, std::move(request), turn.turn, turn.asked});
  } catch (const std::exception& failure) {
    turn.end(Finish::Failed, base::as_error(failure, "conversation"));
  }
}

}  // namespace engine
