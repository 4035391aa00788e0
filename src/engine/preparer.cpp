#include "engine/preparer.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"

namespace engine {
namespace {

constexpr double longest_seconds = 1e9;  // that an answer can have taken: 30 years

}  // namespace

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
  const auto knows = [&](Token token) { return tokenizer.is_valid(token); };
  if (!std::ranges::all_of(request.prompt, knows) || !std::ranges::all_of(request.said.tokens, knows)) {
    throw base::Error("prompt", "has a token that the model does not know");
  }
  for (const double time : {request.said.generate_seconds, request.said.thinking_seconds}) {
    if (!(time >= 0 && time <= longest_seconds)) throw base::Error("answer", "did not take a time");
  }
  const std::size_t room = request.limits.room == 0 ? context : std::min<std::size_t>(request.limits.room, context);
  const std::size_t size = request.prompt.size() + request.said.tokens.size();
  if (request.prompt.size() >= room || size > room) {
    throw base::Error(base::ErrorKind::TooLong, "conversation",
                      "it takes " + std::to_string(size) + " tokens and the context holds " + std::to_string(room),
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
  inbox_->ring();
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
  std::optional<Prepared> prepared = prepared_of(turn);
  if (!prepared) return;
  if (turn.on_prepared) return turn.on_prepared(std::move(*prepared));
  try {
    std::move(*prepared).start();
  } catch (const base::Error&) {  // of which its Done tells
  }
}

// None if the turn is over instead.
std::optional<Prepared> Preparer::prepared_of(const Unbegun& turn) const {
  try {
    Request request = prepare(*turn.turn, system_, loaded_.chat_template(), loaded_.tokenizer());
    if (request.limits.room == 0) request.limits.room = static_cast<std::uint32_t>(context_);
    check_request(request, loaded_.tokenizer(), context_);
    if (!turn.generation->cancel_asked()) {
      return Prepared({turn.generation, std::move(request), turn.turn, turn.asked, turn.on_prepared}, inbox_);
    }
  } catch (const std::exception& failure) {
    turn.end(Finish::Failed, base::as_error(failure, "conversation"));
    return std::nullopt;
  }
  turn.end(Finish::Cancelled);
  return std::nullopt;
}

}  // namespace engine
