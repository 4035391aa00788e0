#include "engine/prepared.h"

#include <exception>
#include <utility>

#include "base/error.h"

namespace engine {
namespace {

// Its owner knows; there is nobody to tell.
Unbegun untold(const Arrival& arrival) { return {arrival.generation, arrival.turn, arrival.asked}; }

}  // namespace

void Unbegun::end(Finish finish, std::optional<base::Error> error) const {
  Done done{.finish = finish, .error = std::move(error)};
  done.usage.queue_seconds = seconds(Clock::now() - asked);
  generation->journal().append(std::move(done));
  if (on_prepared) on_prepared(generation->journal().wait_for_end());
}

Prepared::Prepared(Arrival arrival, std::shared_ptr<Inbox> inbox)
    : arrival_(std::move(arrival)), inbox_(std::move(inbox)) {}

Prepared& Prepared::operator=(Prepared&& other) noexcept {
  std::swap(arrival_, other.arrival_);
  std::swap(inbox_, other.inbox_);
  return *this;
}

Prepared::~Prepared() {
  if (inbox_) untold(arrival_).end(Finish::Cancelled);
}

void Prepared::start() && {
  const Unbegun turn = untold(arrival_);
  try {
    if (std::exchange(inbox_, nullptr)->put(std::move(arrival_))) return;
    throw base::Error(base::ErrorKind::Busy, "model", "it was replaced by another, or the server is shutting down",
                      "try again in a moment");
  } catch (const std::exception& failure) {
    const base::Error error = base::as_error(failure, "conversation");
    turn.end(Finish::Failed, error);
    throw error;
  }
}

}  // namespace engine
