#include "store/closeness.h"

#include <sqlite3.h>

#include <vector>

#include "base/error.h"

namespace store {
namespace {

constexpr double saturation = 1.2, weight_of_length = 0.75;  // k1 and b, as FTS5 has them

// How often each phrase is in the first column of the row at hand.
int count_phrases(const Fts5ExtensionApi& api, Fts5Context* row, std::vector<int>& counts) {
  counts.assign(static_cast<std::size_t>(api.xPhraseCount(row)), 0);
  int matches = 0;
  int result = api.xInstCount(row, &matches);
  for (int i = 0; i < matches && result == SQLITE_OK; ++i) {
    int phrase = 0, column = 0, offset = 0;
    result = api.xInst(row, i, &phrase, &column, &offset);
    if (result == SQLITE_OK && column == 0) ++counts[static_cast<std::size_t>(phrase)];
  }
  return result;
}

int measure(const Fts5ExtensionApi& api, Fts5Context* row, double& closeness) {
  sqlite3_int64 rows = 0, words_of_all = 0;
  int words = 0;
  std::vector<int> counts;
  int result = api.xRowCount(row, &rows);
  if (result == SQLITE_OK) result = api.xColumnTotalSize(row, 0, &words_of_all);
  if (result == SQLITE_OK) result = api.xColumnSize(row, 0, &words);
  if (result == SQLITE_OK) result = count_phrases(api, row, counts);
  if (result != SQLITE_OK) return result;
  const double usual_words = static_cast<double>(words_of_all) / static_cast<double>(rows);
  const double relative_length = usual_words > 0 ? words / usual_words : 1;
  const double length = saturation * (1 - weight_of_length + weight_of_length * relative_length);
  for (const int count : counts) closeness -= count * (saturation + 1) / (count + length);
  return SQLITE_OK;
}

void closeness_of_row(const Fts5ExtensionApi* api, Fts5Context* row, sqlite3_context* call, int, sqlite3_value**) {
  double closeness = 0;
  if (const int result = measure(*api, row, closeness); result != SQLITE_OK) {
    sqlite3_result_error_code(call, result);
  } else {
    sqlite3_result_double(call, closeness);
  }
}

fts5_api* fts5_of(sqlite3* connection) {
  fts5_api* api = nullptr;
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(connection, "select fts5(?1)", -1, &statement, nullptr) == SQLITE_OK) {
    sqlite3_bind_pointer(statement, 1, static_cast<void*>(&api), "fts5_api_ptr", nullptr);
    sqlite3_step(statement);
  }
  sqlite3_finalize(statement);
  return api;
}

}  // namespace

void add_closeness(sqlite3* connection) {
  fts5_api* const fts5 = fts5_of(connection);
  if (fts5 == nullptr || fts5->xCreateFunction(fts5, "closeness", nullptr, closeness_of_row, nullptr) != SQLITE_OK) {
    throw base::Error(base::ErrorKind::Resource, "SQLite", "it was built without full-text search (FTS5)",
                      "install Debian's package libsqlite3-0");
  }
}

}  // namespace store
