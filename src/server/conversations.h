// The web chat's conversations, kept in memory: bounded in number, size and age, the longest unused going first.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/assistant.h"

namespace server {

struct Answer {
  enum class State {
    Pending,   // asked for, its stream has not begun
    Live,      // being written
    Finished,  // by the model, or at its limit (see `finish`)
    Stopped,   // by the user, or because the browser left
    Failed,    // `error` says why
  };

  State state = State::Pending;
  std::string thinking{};
  std::string text{};
  std::string error{};
  engine::Finish finish = engine::Finish::Stop;
  engine::Usage usage{};
  std::uint32_t ahead = 0;  // requests served before this one
  engine::Progress progress{0, 0};
  std::chrono::milliseconds thinking_time{0};
  bool stop_asked = false;

  bool open() const { return state == State::Pending || state == State::Live; }
  bool started() const { return !thinking.empty() || !text.empty(); }
};

// What the user said and what came of it.
struct Round {
  std::string prompt;
  bool think = true;
  Answer answer{};
};

struct Conversation {
  std::string id;  // 32 hexadecimal digits that nobody can guess
  std::vector<Round> rounds;
  std::chrono::steady_clock::time_point used;

  std::size_t bytes() const;
  bool answering() const { return !rounds.empty() && rounds.back().answer.open(); }
  bool live() const { return !rounds.empty() && rounds.back().answer.state == Answer::State::Live; }
  // What the model is to answer in the given round: all before it that did not fail, in the OpenAI form.
  nlohmann::ordered_json messages(std::size_t round) const;
};

class Conversations {
 public:
  struct Limits {
    std::size_t count = 500;
    std::size_t bytes = 64 << 20;  // of text, of all together
    std::chrono::hours age{24};    // since last used
  };

  explicit Conversations(Limits limits) : limits_(limits) {}
  Conversations() : Conversations(Limits{}) {}

  static bool is_id(std::string_view text);
  static std::string new_id();

  // Nullptr if it is not (or no longer) kept. Marks it as used.
  std::shared_ptr<Conversation> find(const std::string& id);
  // The conversation of that id, a new one if there is none; drops others that are too many by then.
  std::shared_ptr<Conversation> open(const std::string& id);

  std::size_t size() const { return recent_.size(); }

 private:
  // So that `coming` more may be added.
  void make_room(std::size_t coming);

  Limits limits_;
  std::list<std::shared_ptr<Conversation>> recent_;  // the last used first
  std::unordered_map<std::string, std::list<std::shared_ptr<Conversation>>::iterator> by_id_;
};

}  // namespace server
