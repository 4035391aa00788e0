// How well a message fits what is searched for, as an SQL function of SQLite's FTS5: closeness(TABLE), in queries of
// it.
#pragma once

struct sqlite3;

namespace store {

// BM25 without the weights that say how rare each word is: to know them, bm25() walks through all messages that have
// the word, and since all words must be there they would change little. The less, the better, as with bm25(). The
// first column alone counts. Throws base::Error.
// Robertson, Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).
void add_closeness(sqlite3* connection);

}  // namespace store
