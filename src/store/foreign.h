// Conversations of other programs, and how they become ours.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "store/json_fields.h"
#include "store/whole.h"

namespace store {

struct ForeignMessage {
  std::string id{};
  std::string parent{};                 // id of what it follows; empty: it is a first one
  std::vector<std::string> children{};  // ids of what follows it, in their order
  std::optional<Role> role{};           // none: it is left out, and what follows it follows what it follows
  std::string thinking{};
  std::string text{};
  Time created = 0;  // 0: not known
};

struct ForeignConversation {
  std::string id{};  // 32 hexadecimal digits, or empty
  std::string title{};
  Time created = 0, changed = 0;  // 0: not known
  bool pinned = false;
  std::vector<ForeignMessage> messages{};  // in any order
  std::string current{};                   // id of the last one that was shown
};

// Throw base::Error for what is not as these programs write it.
ForeignConversation chatgpt_conversation(const Fields& fields);
ForeignConversation open_webui_conversation(const Fields& fields);

// Ids of what follows a message, from this field of it.
std::vector<std::string> children_in(const Fields& message, const char* name);

// Here a question follows nothing or an answer, and an answer a question. What is otherwise there is brought into that
// order without losing text:
//   - what alone follows one of its own role (a question in two messages, an answer before and after a tool was used)
//     becomes a part of it, after an empty line; where others follow as well, it becomes a version of it that begins
//     with its text;
//   - an answer to nothing follows an empty question, and a question without an answer has an empty one.
// None if nothing was said. Throws base::Error if messages follow each other in a circle, or are too many.
std::optional<WholeConversation> tree_of(const ForeignConversation& foreign);

}  // namespace store
