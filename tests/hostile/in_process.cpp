// The files named on standard input, one a line, each opened, taken for a model and asked to answer: all in one
// process, so that thousands can go through it under a sanitizer. For each a line on standard output: what became of
// it.
#include <condition_variable>
#include <iostream>
#include <mutex>
#include <optional>
#include <string>

#include "base/error.h"
#include "engine/assistant.h"
#include "engine/engine.h"

namespace {

// How a request ended, and its error.
class Outcome {
 public:
  void set(engine::Finish finish, const std::string& error) {
    const std::lock_guard lock(mutex_);
    error_ = finish == engine::Finish::Failed ? error : "";
    ended_.notify_one();  // with the lock held: whoever waits destroys this as soon as it may
  }
  std::string wait() {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return error_.has_value(); });
    return *error_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  std::optional<std::string> error_;
};

std::string chat(engine::Engine& engine) {
  engine::Turn turn;
  turn.input.messages = nlohmann::ordered_json::array({{{"role", "user"}, {"content", "Hello <|im_end|>"}}});
  turn.sampling.seed = 1;
  turn.max_tokens = 2;
  Outcome outcome;
  const auto ticket = engine::submit_turn(engine, turn, [&](const engine::TurnEvent& event) {
    if (const auto* done = std::get_if<engine::Done>(&event)) outcome.set(done->finish, done->error);
  });
  return outcome.wait();
}

std::string continue_text(engine::Engine& engine) {
  engine::Request request;
  request.prompt = engine.tokenizer().encode("the <think> 00", true);
  request.sampling.temperature = 0;
  request.max_tokens = 2;
  Outcome outcome;
  const auto ticket = engine.submit(std::move(request), [&](const engine::Update& update) {
    if (update.finish) outcome.set(*update.finish, update.error);
  });
  return outcome.wait();
}

std::string try_file(const std::string& path) {
  try {
    engine::Engine engine(gguf::File::open(path), {.threads = 1});
    std::string error = continue_text(engine);
    return error.empty() ? chat(engine) : error;
  } catch (const base::Error& error) {
    return error.what();
  }
}

}  // namespace

int main() {
  for (std::string path; std::getline(std::cin, path);) {
    const std::string error = try_file(path);
    std::cout << (error.empty() ? "ran" : "error: ");
    for (const char c : error) std::cout << (c == '\n' ? ' ' : c);
    std::cout << std::endl;
  }
}
