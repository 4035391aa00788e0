#include "server/log.h"

#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace server {
namespace {

constexpr std::size_t most_lines = 4096;  // that wait to be written
// For what is still to be written when the program ends.
constexpr auto last_patience = std::chrono::seconds(1);

struct Line {
  spdlog::level::level_enum level;
  std::string text;
  spdlog::log_clock::time_point time;
};

// To the descriptor itself: who is stuck in a write to stderr holds its lock, and the program's end waits for that.
class DescriptorSink : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    std::string_view left(line.data(), line.size());
    while (!left.empty()) {
      const ssize_t written = ::write(STDERR_FILENO, left.data(), left.size());
      if (written < 0 && errno != EINTR) return;  // nobody will ever read it
      left.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(written, 0)));
    }
  }
  void flush_() override {}
};

// Lines are written by a thread of their own: a terminal that was stopped (Ctrl-S), or a pipe that nobody reads, must
// hold nobody up. What does not fit into the queue then is lost, and counted.
class Log {
 public:
  Log() {
    shared_->logger.set_pattern("%H:%M:%S.%e %l %v");
    std::thread([shared = shared_] { write_lines(*shared); }).detach();  // it may never come back from a write
  }
  ~Log() {
    std::unique_lock lock(shared_->mutex);
    shared_->changed.wait_for(lock, last_patience, [this] { return shared_->lines.empty() && !shared_->writing; });
  }
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void put(spdlog::level::level_enum level, std::string_view text) {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->lines.size() >= most_lines) {
      ++shared_->lost;
      return;
    }
    shared_->lines.push_back({level, std::string(text), spdlog::log_clock::now()});
    shared_->changed.notify_all();
  }

 private:
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<Line> lines;
    std::size_t lost = 0;
    bool writing = false;
    spdlog::logger logger{"server", std::make_shared<DescriptorSink>()};
  };

  static void write_lines(Shared& shared) {
    std::unique_lock lock(shared.mutex);
    for (;;) {
      shared.changed.wait(lock, [&] { return !shared.lines.empty(); });
      const Line line = std::move(shared.lines.front());
      shared.lines.pop_front();
      const std::size_t lost = shared.lines.empty() ? std::exchange(shared.lost, 0) : 0;
      shared.writing = true;
      lock.unlock();
      shared.logger.log(line.time, spdlog::source_loc{}, line.level, line.text);
      if (lost > 0) shared.logger.warn("{} lines of this log were lost: nobody read it", lost);
      lock.lock();
      shared.writing = false;
      shared.changed.notify_all();
    }
  }

  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

std::atomic<bool> errors_alone{false};

Log& log() {
  static Log instance;
  return instance;
}

}  // namespace

void log_info(std::string_view line) {
  if (!errors_alone) log().put(spdlog::level::info, line);
}
void log_error(std::string_view line) { log().put(spdlog::level::err, line); }
void log_errors_alone() { errors_alone = true; }

}  // namespace server
