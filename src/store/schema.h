// The tables, and how a database of an older version becomes one of this.
#pragma once

#include "store/session.h"

namespace store {

inline constexpr int schema_version = 1;

// Brings the database to schema_version, from whatever is there. Throws base::Error if it is of a later one.
void migrate(Session& session);

}  // namespace store
