// The index of all that was said. Words are what the database takes for words, but for scripts that put nothing between
// them (Chinese, Japanese, Thai and others; Korean, whose words have many endings): there each character is one, and
// what is looked for is a row of them. So two Chinese characters are found within any text.
#pragma once

#include <string>
#include <string_view>

#include "store/session.h"

namespace store {

// Text with its words made visible, for the index and for queries.
std::string separate_words(std::string_view text);
// A search as people type it, as a query of the database: words that must all be there, "phrases" in quotation marks,
// and of the last word, if nothing follows it and it is wanted, also what begins like it. Empty if it has no word.
std::string query_of(std::string_view typed, bool sqlite, bool with_beginnings);

// Of a message that is there, and that is not in the index yet; it leaves the index with its message.
void add_to_index(Session& session, const std::string& conversation, std::int64_t number, const std::string& text);

}  // namespace store
