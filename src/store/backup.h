// All that a database holds in one SQLite file, and back: row by row, so that it also moves between the two databases.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace store {

// Writes what is at `where` (as of Database) to `file`, which is not there yet, as of one instant; others may write on
// meanwhile. Not with the index of searches, which restore() makes anew. Whether the file is on the disk when it
// returns is the caller's affair. Calls `between` often: what that throws ends it. Returns how many conversations it
// has.
std::int64_t backup(
    const std::string& where, const std::string& file, const std::function<void()>& between = [] {});

// Puts what the file has in place of all that is at `where`, at once or not at all. Answers that were being written are
// open, for the next server to go on with, unless one serves from it now: that does not know them, so that they are
// interrupted. Returns how many conversations there are. Throws base::Error if the file is no backup, is damaged, or is
// of a later version; it is copied into the folder for temporary files, and only read itself.
std::int64_t restore(
    const std::string& file, const std::string& where, const std::function<void()>& between = [] {});

}  // namespace store
