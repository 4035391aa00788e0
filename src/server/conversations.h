// The web chat's conversations, kept in memory: bounded in number, size and age, the longest unused going first; those
// that are being answered stay. One whose answer is paused goes only for room, never for its age. For one thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/generation.h"
#include "server/answer.h"
#include "server/model_facts.h"

namespace server {

// What the user said and what comes of it.
struct Round {
  std::string prompt{};
  bool think = true;
  std::shared_ptr<engine::Generation> generation{};  // its journal is the answer; never null
  std::shared_ptr<const ModelFacts> facts{};         // of the model that was asked; never null

  const engine::Journal& journal() const { return generation->journal(); }
  bool open() const { return !journal().over(); }
};

struct Conversation {
  std::string id;  // 32 hexadecimal digits that nobody can guess
  std::vector<Round> rounds;
  std::chrono::steady_clock::time_point used;
  std::shared_ptr<const engine::Transcript> last_transcript{};

  std::size_t bytes() const;
  // Its tokens, up to the last answer that has ended.
  std::shared_ptr<const engine::Transcript> transcript();
  bool paused() const { return answering() && rounds.back().generation->pause_asked(); }
  bool answering() const { return !rounds.empty() && rounds.back().open(); }
  // What the model is to answer: all rounds that did not fail, and then `prompt`, in the OpenAI form.
  nlohmann::ordered_json messages(const std::string& prompt) const;
};

class Conversations {
 public:
  struct Limits {
    std::size_t count = 500;
    std::size_t bytes = 64 << 20;  // of all together
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
