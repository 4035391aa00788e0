// What several of the store's files do within a transaction of their own.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "store/records.h"
#include "store/session.h"

namespace store {

// As Accounts::require.
void require_account(Session& session, const std::string& name);

// Whether a statement that changes rows, or adds or erases some, found any.
inline bool affects_a_row(soci::statement& statement) {
  statement.execute(true);
  return statement.get_affected_rows() > 0;
}

// As Database::conversation.
std::optional<Conversation> conversation_in(Session& session, const std::string& account, const std::string& id);

// One that is whole is found by searches, up to its first 500,000 bytes. Of one that is not, what there is of it goes
// into its gains.
void insert_message(Session& session, const std::string& conversation, const Message& message);
void insert_tags(Session& session, const std::string& conversation, const std::vector<std::string>& tags);
void index_message(Session& session, const std::string& conversation, std::int64_t number, const std::string& text);

// Sees that what was deleted is not in the database's files any more. Not within a transaction. False if somebody who
// reads it just now is in the way.
bool forget_erased(Session& session);

// As Database::check. Not within a transaction.
void check_in(Session& session);

}  // namespace store
