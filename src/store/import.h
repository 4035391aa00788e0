// Files of conversations, read into plain data: those that export.h writes, ChatGPT's conversations.json, and what Open
// WebUI exports. Anybody may have written them: whatever the bytes are, it ends in conversations or an error, in a time
// and a memory that grow as the file does.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "base/error.h"
#include "store/whole.h"

namespace store {

// One of a file's conversations.
struct Imported {
  std::size_t place = 0;  // from 1 on
  // None if nothing was said in it, or if it cannot be read. An id of its own is 32 hexadecimal digits; it may have
  // none. Answers that other programs wrote are whole, and have no tokens and nothing of the server's.
  std::optional<WholeConversation> conversation{};
  std::optional<base::Error> error{};
};

// Whose file it is shows by itself. Calls `take` for each conversation in turn; `file` names the file in errors. Throws
// base::Error before anything was taken if it is not JSON, is nested too deeply, is of a later version or nobody's.
void read_conversations(const std::string& file, std::string text, const std::function<void(Imported)>& take);

}  // namespace store
