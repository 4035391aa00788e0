// Writes answers into the store while they are written: their tokens, their text, their end. It reads their journals,
// as pages do, and nobody waits for it. All but the constructor is for the store's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/generation.h"
#include "store/database.h"

namespace server {

class Recorder {
 public:
  // From here on what it says is recorded: what follows so many tokens, and that event, which are there already.
  void follow(store::AnswerId answer, std::shared_ptr<engine::Generation> generation, std::size_t tokens = 0,
              std::uint64_t last_event = 0);
  // Stores what all have gained since the last time, and the ends of those that are over, which are returned and let go
  // of. Throws base::Error if the database fails; the next call has all of it again.
  std::vector<store::AnswerId> record(store::Database& database);
  // The same for those of one conversation.
  std::vector<store::AnswerId> record(store::Database& database, const std::string& conversation);
  std::vector<store::AnswerId> answers() const;  // that it follows
  // Nothing more is recorded: whatever becomes of the answers that are under way, in the store they are open.
  void let_go() { all_.clear(); }

 private:
  struct Recording {
    store::AnswerId answer;
    std::shared_ptr<engine::Generation> generation;
    std::size_t tokens;
    std::uint64_t last_event;
    bool sure = true;              // that the store has so many tokens, and that event
    std::optional<bool> paused{};  // in the store; none: nobody knows
  };
  // What is to be stored of one now.
  struct Step {
    store::Gain gain;
    std::string ended;  // empty: it goes on
  };

  static Step step_of(const Recording& recording);
  static std::vector<bool> record_all(store::Database& database, std::span<const store::Gain> gains);
  std::vector<store::AnswerId> record(store::Database& database, const std::vector<Recording*>& chosen);

  std::vector<Recording> all_;
};

}  // namespace server
