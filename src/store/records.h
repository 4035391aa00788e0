// What the store keeps, as plain data. What only the server understands (how an answer was asked for, what it used)
// lies here as text that the store does not look into.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "store/tokens.h"

namespace store {

using Time = std::int64_t;  // milliseconds since 1970, UTC

// The account of this machine's own user, on its pages and with its commands.
inline const std::string local_account = "local";

// Which models and settings an answer's tokens are of.
struct Fingerprint {
  std::string tokenizer{};  // decides what a token means
  std::string whole{};      // decides which tokens follow

  bool operator==(const Fingerprint&) const = default;
};

enum class Role : std::uint8_t { User, Assistant };

enum class Condition : std::uint8_t {
  Whole,        // nothing will be added to it
  Open,         // it is being written, or will be again
  Paused,       // the same, but somebody has to say so
  Interrupted,  // it ends where something ended it from outside, and nobody goes on with it
};

// A node of its conversation's tree. Those that answer the same one (edited questions, answers tried again) are its
// versions.
struct Message {
  std::int64_t number = 0;  // in its conversation, from 1 on; a parent's is smaller
  std::int64_t parent = 0;  // 0: it is the first
  Role role = Role::User;
  Condition condition = Condition::Whole;
  std::string thinking{};
  std::string text{};
  std::string asked{};  // JSON of the server's: how it was asked for
  std::string ended{};  // JSON of the server's: how it ended, and what it took; empty while it is open
  Time created = 0;
};

struct ConversationHead {
  std::string id{};
  std::string title{};
  Time created = 0;
  Time changed = 0;  // when something was said last
  bool pinned = false;
  bool archived = false;
  std::vector<std::string> tags{};  // in order
  std::int64_t shown = 0;           // number of the message that ends the branch that is shown; 0: there is none
};

// A word or a few that a conversation is found by: 1 to 40 characters, on one line, without '#' and ','.
bool is_tag(std::string_view text);
inline constexpr std::size_t most_tags = 20;  // of a conversation

// Which conversations are listed.
struct Listing {
  enum class Shelf : std::uint8_t { Current, Archive, All };

  Shelf shelf = Shelf::Current;
  std::string tag{};  // if there is one: those that have it, of any shelf
};

struct Conversation : ConversationHead {
  std::vector<Message> messages{};  // of all branches, by number

  // From the first message to this one.
  std::vector<const Message*> path_to(std::int64_t number) const;
  const Message* find(std::int64_t number) const;
};

// A part of a text that was found: what was looked for, or what stands around it.
struct Snippet {
  std::string text{};
  bool matches = false;
};

// What a search finds of a conversation.
struct Hit {
  std::string conversation{};  // id
  std::string title{};
  std::int64_t number = 0;  // of the message
  std::vector<Snippet> snippets{};
};

// One that goes by the beginning of its first question yet: its first question and answer.
struct Unnamed {
  std::string id{};
  std::string account{};
  std::string question{};
  std::string answer{};
};

// A question with the answer that is to be given to it.
struct Question {
  std::string account{};
  std::string conversation{};  // id; it is created if there is none
  std::int64_t parent = 0;     // message that it follows: the one that ends the shown branch
  std::string title{};         // of a conversation that is created
  std::string text{};
  std::string asked{};     // as of Message, of the answer
  std::string settings{};  // JSON of the server's: what else the answer depends on (sampling, seed, limits)
  Fingerprint fingerprint{};
  Tokens prompt{};  // the conversation as it was rendered
  Time now = 0;
};

// Numbers an answer for all conversations.
struct AnswerId {
  std::string conversation{};
  std::int64_t number = 0;  // of the message

  // clang-tidy 14 takes the zero of what this becomes for a pointer.
  auto operator<=>(const AnswerId&) const = default;  // NOLINT(modernize-use-nullptr)
};

// What an answer has gained since it was last recorded.
struct Gain {
  AnswerId answer{};
  std::int64_t first = 0;              // how many of its tokens were recorded before
  std::vector<std::int32_t> tokens{};  // those that follow, all generated
  std::string thinking{};              // text that follows
  std::string text{};
  std::uint64_t last_event = 0;  // number of the last of the server's events that these texts are of
  double writing_seconds = 0;    // that it has taken so far, from its first token on
  double thinking_seconds = 0;   // of them, before the answer itself began
};

// How it ended, or stays.
struct Ending {
  AnswerId answer{};
  Condition condition = Condition::Whole;
  std::string ended{};  // as of Message
};

// An answer that was not finished when the store was last used, with all that it takes to go on.
struct Unfinished {
  AnswerId answer{};
  std::string account{};
  Condition condition = Condition::Open;
  std::string asked{};
  std::string settings{};
  Fingerprint fingerprint{};
  Tokens prompt{};
  std::vector<std::int32_t> said{};
  std::uint64_t last_event = 0;
  double writing_seconds = 0;
  double thinking_seconds = 0;
  int epoch = 0;         // how often another model went on with it
  int vain_resumes = 0;  // how often it was begun again since it last gained a token
};

}  // namespace store
