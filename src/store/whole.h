// A conversation with all that the store has of it: what moves from one store to another.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "store/records.h"

namespace store {

// What there is of an answer besides its message.
struct AnswerRecord {
  std::string settings{};  // as of Question
  Fingerprint fingerprint{};
  Tokens prompt{};
  Tokens said{};  // the answer's own tokens; none if another program wrote it
  int epoch = 0;  // as of Unfinished
  // Of one that was interrupted, as of Gain.
  std::uint64_t last_event = 0;
  double writing_seconds = 0;
  double thinking_seconds = 0;
};

// Its answers are whole or interrupted: a copy of one that is being written is one that ended there.
struct WholeConversation : Conversation {
  std::map<std::int64_t, AnswerRecord> answers{};  // by the number of their message
};

}  // namespace store
