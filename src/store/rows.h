// What several of the store's files do within a transaction of their own.
#pragma once

#include <optional>
#include <string>

#include "store/records.h"
#include "store/session.h"

namespace store {

// As Database::conversation.
std::optional<Conversation> conversation_in(Session& session, const std::string& account, const std::string& id);

// As Database::check. Not within a transaction.
void check_in(Session& session);

}  // namespace store
