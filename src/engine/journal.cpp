#include "engine/journal.h"

#include <algorithm>
#include <utility>

namespace engine {
namespace {

double speed(std::uint32_t tokens, double duration) { return tokens > 0 && duration > 0 ? tokens / duration : 0; }

// A copy that may go to another thread. Copies of a standard exception share their text and count who has it, within
// the library, where the thread sanitizer does not see it.
Done apart(const Done& done) {
  Done copy{.finish = done.finish, .error = {}, .usage = done.usage};
  if (const auto& error = done.error)
    copy.error.emplace(error->kind(), error->subject(), error->why(), error->remedy());
  return copy;
}

}  // namespace

double Usage::prompt_speed() const { return speed(prompt_tokens - cached_tokens, prompt_seconds); }
double Usage::generate_speed() const {
  return generated_tokens > 1 ? speed(generated_tokens - 1, generate_seconds) : 0;
}

Journal::Watch& Journal::Watch::operator=(Watch&& other) noexcept {
  std::swap(journal_, other.journal_);
  std::swap(id_, other.id_);
  return *this;
}

Journal::Watch::~Watch() {
  if (journal_ != nullptr) journal_->forget(id_);
}

Journal::Reading Journal::read(Place from, std::uint64_t last_wanted) const {
  const std::lock_guard lock(mutex_);
  const std::size_t end = std::min<std::size_t>(entries_.size(), last_wanted);
  Reading reading{.events = {},
                  .progress = progress_,
                  .next = {std::max<std::size_t>(end, from.event), version_},
                  .over = done_ && end == entries_.size()};
  for (std::size_t i = from.event; i < end;) {
    const Entry::Kind kind = entries_[i].kind;
    const std::size_t begin = i == 0 ? 0 : entries_[i - 1].end;
    std::size_t last = i;
    switch (kind) {
      case Entry::Kind::Thinking:
      case Entry::Kind::Answer: {
        while (last + 1 < end && entries_[last + 1].kind == kind) ++last;
        std::string text = text_.substr(begin, entries_[last].end - begin);
        reading.events.push_back({last + 1, kind == Entry::Kind::Thinking ? What(Thinking{std::move(text)})
                                                                          : What(Answer{std::move(text)})});
        break;
      }
      case Entry::Kind::ToolCall: {
        const auto calls = std::count_if(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(i),
                                         [](const Entry& entry) { return entry.kind == Entry::Kind::ToolCall; });
        reading.events.push_back({i + 1, calls_[static_cast<std::size_t>(calls)]});
        break;
      }
      case Entry::Kind::Done:
        reading.events.push_back({i + 1, apart(*done_)});
        break;
    }
    i = last + 1;
  }
  return reading;
}

Progress Journal::progress() const {
  const std::lock_guard lock(mutex_);
  return progress_;
}

bool Journal::over() const {
  const std::lock_guard lock(mutex_);
  return done_.has_value();
}

std::uint64_t Journal::last_event() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

Said Journal::said(std::size_t from) const {
  const std::lock_guard lock(mutex_);
  const std::span<const smollm3::Token> tokens = std::span(said_.tokens).subspan(std::min(from, said_.tokens.size()));
  return {.tokens = {tokens.begin(), tokens.end()},
          .generate_seconds = said_.generate_seconds,
          .thinking_seconds = said_.thinking_seconds};
}

std::size_t Journal::bytes() const {
  const std::lock_guard lock(mutex_);
  std::size_t sum = sizeof(Journal) + text_.capacity() + entries_.capacity() * sizeof(Entry) +
                    said_.tokens.capacity() * sizeof(smollm3::Token);
  for (const smollm3::ToolCall& call : calls_) sum += sizeof(call) + 2 * call.raw.size();  // its JSON takes as much
  return sum;
}

Journal::Watch Journal::when_more(Place from, std::function<void()> wake) {
  {
    const std::lock_guard lock(mutex_);
    if (!has_more(from)) {
      waiting_.push_back({++next_id_, std::move(wake)});
      return {this, next_id_};
    }
  }
  wake();
  return {};
}

bool Journal::wait_for_more(Place from, std::chrono::milliseconds patience) const {
  std::unique_lock lock(mutex_);
  return arrived_.wait_for(lock, patience, [&] { return has_more(from); });
}

Done Journal::wait_for_end() const {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [&] { return done_.has_value(); });
  return apart(*done_);
}

void Journal::append(What what) {
  std::unique_lock lock(mutex_);
  if (done_) throw base::Error(base::ErrorKind::Internal, "journal", "something follows its end");
  const auto add_text = [&](Entry::Kind kind, const std::string& text) {
    text_ += text;
    entries_.push_back({kind, text_.size()});
  };
  if (const auto* thinking = std::get_if<Thinking>(&what)) {
    add_text(Entry::Kind::Thinking, thinking->text);
  } else if (const auto* answer = std::get_if<Answer>(&what)) {
    add_text(Entry::Kind::Answer, answer->text);
  } else if (auto* call = std::get_if<smollm3::ToolCall>(&what)) {
    calls_.push_back(std::move(*call));
    entries_.push_back({Entry::Kind::ToolCall, text_.size()});
  } else {
    done_ = apart(std::get<Done>(what));
    entries_.push_back({Entry::Kind::Done, text_.size()});
    progress_.state = State::Done;
    ++version_;
  }
  wake_all(std::move(lock));
}

void Journal::say(std::span<const smollm3::Token> tokens, double generate_seconds, double thinking_seconds) {
  const std::lock_guard lock(mutex_);
  said_.tokens.insert(said_.tokens.end(), tokens.begin(), tokens.end());
  said_.generate_seconds = generate_seconds;
  said_.thinking_seconds = thinking_seconds;
}

void Journal::report(const Progress& progress) {
  std::unique_lock lock(mutex_);
  if (done_ || progress == progress_) return;
  progress_ = progress;
  ++version_;
  wake_all(std::move(lock));
}

void Journal::forget(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  std::erase_if(waiting_, [id](const Waiting& waiting) { return waiting.id == id; });
}

void Journal::wake_all(std::unique_lock<std::mutex> lock) {
  const std::vector<Waiting> woken = std::exchange(waiting_, {});
  lock.unlock();
  arrived_.notify_all();
  for (const Waiting& waiting : woken) waiting.wake();
}

}  // namespace engine
