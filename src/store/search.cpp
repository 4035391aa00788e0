#include "store/search.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "store/database.h"
#include "store/names.h"

namespace store {
namespace {

using soci::into;
using soci::use;

// Of those that match, so many of the latest are ranked: what is asked for is seldom old, and a word that is everywhere
// would take its time.
constexpr int most_ranked = 500;

constexpr std::string_view separator = "\u200B";  // a space without width
// Around what was found, in what the database returns: characters that no text has (they are taken out of it).
constexpr char begin_mark = '\2', end_mark = '\3';

constexpr std::array<std::pair<char32_t, char32_t>, 12> scripts_without_spaces = {{
    {0x0E00, 0x0EFF},    // Thai, Lao
    {0x1000, 0x109F},    // Myanmar
    {0x1780, 0x17FF},    // Khmer
    {0x2E80, 0x2FDF},    // radicals
    {0x3005, 0x3007},    // ideographic marks
    {0x3040, 0x30FF},    // Hiragana, Katakana
    {0x31F0, 0x31FF},    // Katakana extensions
    {0x3400, 0x4DBF},    // CJK extension A
    {0x4E00, 0x9FFF},    // CJK
    {0xAC00, 0xD7AF},    // Hangul
    {0xF900, 0xFAFF},    // CJK compatibility
    {0x20000, 0x3FFFF},  // CJK extensions B and on
}};

bool stands_alone(char32_t character) {
  for (const auto& [first, last] : scripts_without_spaces) {
    if (character >= first && character <= last) return true;
  }
  return false;
}

bool has_word(std::string_view term) {
  for (const char byte : term) {
    const auto value = static_cast<unsigned char>(byte);
    if (value >= 0x80 || std::isalnum(value) != 0) return true;
  }
  return false;
}

// PostgreSQL makes one word of "a.b", "a-b" and addresses.
std::string without_punctuation(std::string text) {
  for (char& byte : text) {
    const auto value = static_cast<unsigned char>(byte);
    if (value < 0x80 && std::isalnum(value) == 0) byte = ' ';
  }
  return text;
}

struct Term {
  std::string text;
  bool begins;  // it is found where a word begins like its last one
};

std::vector<Term> terms_of(std::string_view typed) {
  std::vector<Term> terms;
  const auto add = [&](std::string_view text, bool begins) {
    if (has_word(text)) terms.push_back({separate_words(text), begins});
  };
  while (!typed.empty()) {
    if (typed.front() == '"') {
      typed.remove_prefix(1);
      const std::size_t end = typed.find('"');
      add(typed.substr(0, end), /*begins=*/false);
      typed.remove_prefix(end == std::string_view::npos ? typed.size() : end + 1);
    } else if (std::isspace(static_cast<unsigned char>(typed.front())) != 0) {
      typed.remove_prefix(1);
    } else {
      const std::size_t end = typed.find_first_of(" \t\n\"");
      // What begins with a single letter is nearly everything.
      add(typed.substr(0, end),
          /*begins=*/end == std::string_view::npos && base::utf8::decode(typed).length < typed.size());
      typed.remove_prefix(end == std::string_view::npos ? typed.size() : end);
    }
  }
  return terms;
}

std::string quoted(std::string_view text, char quote) {
  std::string quoted(1, quote);
  for (const char byte : text) {
    if (byte == quote || (byte == '\\' && quote == '\'')) quoted += byte;
    quoted += byte;
  }
  return quoted + quote;
}

// Of a marked text what stands around the first match, taken apart where the marks are.
std::vector<Snippet> snippets_of(std::string_view text) {
  constexpr std::size_t before = 60, most = 300;  // bytes
  const std::size_t match = std::min(text.find(begin_mark), text.size());
  std::size_t begin = match - std::min(match, before);
  while (begin > 0 && begin < match && (text[begin] & 0xC0) == 0x80) ++begin;
  const bool cut = begin > 0;
  text.remove_prefix(begin);
  const bool goes_on = text.size() > most;
  text = text.substr(0, base::utf8::cut(text, most));

  std::vector<Snippet> parts;
  Snippet part{.text = cut ? "…" : "", .matches = false};
  const auto finish = [&](bool next_matches) {
    if (!part.text.empty()) parts.push_back(part);
    part = {.text = {}, .matches = next_matches};
  };
  for (std::size_t i = 0; i < text.size();) {
    if (text.substr(i).starts_with(separator)) {
      i += separator.size();
      continue;
    }
    const char byte = text[i++];
    if (byte == begin_mark || byte == end_mark) {
      finish(byte == begin_mark);
    } else {
      part.text += byte == '\n' ? ' ' : byte;
    }
  }
  if (goes_on) part.text += "…";
  finish(false);
  return parts;
}

struct Found {
  Hit hit;
  std::int64_t message = 0;  // id
  double rank = 0;           // the least is the best
};

// Of one account, the latest that match; without what was deleted.
std::vector<Found> find_latest(Session& session, const std::string& account, const std::string& query) {
  static constexpr const char* in_sqlite =
      "select c.id, c.title, m.number, m.id, closeness(search) from search join messages m on m.id = search.rowid join "
      "conversations c on c.id = m.conversation where search match :query and c.account = :account and c.deleted = 0 "
      "order by search.rowid desc limit :ranked";
  static constexpr const char* in_postgres =
      "select c.id, c.title, m.number, m.id, -ts_rank_cd(s.words, q.query, 1) from to_tsquery('simple', :query) "
      "q(query) "
      "join search s on s.words @@ q.query join messages m on m.id = s.message join conversations c on c.id = "
      "m.conversation where c.account = :account and c.deleted = 0 order by m.id desc limit :ranked";
  std::vector<Found> found;
  Found one;
  soci::statement statement = (session.sql.prepare << (session.is_sqlite() ? in_sqlite : in_postgres), use(query),
                               use(account), use(most_ranked), into(one.hit.conversation), into(one.hit.title),
                               into(one.hit.number), into(one.message), into(one.rank));
  statement.execute();
  while (statement.fetch()) found.push_back(one);
  return found;
}

// Of each conversation the best one, and of those the best; the latest where two are alike.
void keep_best(std::vector<Found>& found, std::size_t most) {
  std::ranges::stable_sort(found, {}, &Found::rank);
  std::unordered_set<std::string> known;
  std::erase_if(found, [&](const Found& one) { return !known.insert(one.hit.conversation).second; });
  if (found.size() > most) found.resize(most);
}

// Puts around the matches of each what shows them; of a long message in PostgreSQL its beginning is looked at.
void add_snippets(Session& session, const std::string& query, std::span<Found> found) {
  if (found.empty()) return;
  std::unordered_map<std::int64_t, Found*> by_message;
  std::int64_t first = found[0].message, last = first;
  std::string list;
  for (Found& one : found) {
    by_message[one.message] = &one;
    first = std::min(first, one.message);
    last = std::max(last, one.message);
    list += (list.empty() ? "" : ", ") + std::to_string(one.message);
  }
  // SQLite goes through the matches once: asked for each message by its number, it would match anew for each.
  const std::string in_sqlite =
      "select rowid, highlight(search, 0, char(2), char(3)) from search where search match :query and rowid between "
      ":first and :last and +rowid in (" +
      list + ")";
  const std::string in_postgres =
      "select message, ts_headline('simple', substr(body, 1, 20000), to_tsquery('simple', :query), 'HighlightAll=true, "
      "StartSel=' || chr(2) || ', StopSel=' || chr(3)) from search where message between :first and :last and message "
      "in (" +
      list + ")";
  std::int64_t message = 0;
  std::string text;
  soci::statement statement = (session.sql.prepare << (session.is_sqlite() ? in_sqlite : in_postgres), use(query),
                               use(first), use(last), into(message), into(text));
  statement.execute();
  while (statement.fetch()) by_message.at(message)->hit.snippets = snippets_of(text);
}

}  // namespace

std::string separate_words(std::string_view text) {
  std::string separated;
  separated.reserve(text.size() + text.size() / 4);
  while (!text.empty()) {
    const base::utf8::Char character = base::utf8::decode(text);
    const std::string_view bytes = text.substr(0, character.length);
    text.remove_prefix(character.length);
    const bool alone = character.valid() && stands_alone(character.code_point);
    if (alone) separated += separator;
    if (!character.valid()) {
      separated += base::utf8::replacement;
    } else if (bytes[0] != begin_mark && bytes[0] != end_mark && bytes[0] != 0) {
      separated += bytes;
    }
    if (alone) separated += separator;
  }
  return separated;
}

std::string query_of(std::string_view typed, bool sqlite, bool with_beginnings) {
  std::string query;
  for (const Term& term : terms_of(typed)) {
    if (!query.empty()) query += sqlite ? " " : " & ";  // in SQLite AND would fail at a term without a word, as a dash
    query += sqlite ? quoted(term.text, '"') : quoted(without_punctuation(term.text), '\'');
    if (term.begins && with_beginnings) query += sqlite ? " *" : ":*";
  }
  return query;
}

void add_to_index(Session& session, const std::string& conversation, std::int64_t number, const std::string& text) {
  const std::string body = separate_words(text);
  if (session.is_sqlite()) {
    session.sql
        << "insert into search (rowid, body, account) select m.id, :body, c.account from messages m join "
           "conversations c on c.id = m.conversation where m.conversation = :conversation and m.number = :number",
        use(body), use(conversation), use(number);
    return;
  }
  const std::string words = without_punctuation(body);
  session.sql << "insert into search (message, body, words) select id, :body, to_tsvector('simple', :words) from "
                 "messages where conversation = :conversation and number = :number",
      use(body), use(words), use(conversation), use(number);
}

std::vector<Hit> Database::search(const std::string& account, const std::string& typed, int most) {
  const bool sqlite = session_->is_sqlite();
  const std::string whole_words = query_of(typed, sqlite, /*with_beginnings=*/false);
  const std::string beginnings = query_of(typed, sqlite, /*with_beginnings=*/true);
  if (whole_words.empty()) return {};
  const auto within_account = [&](const std::string& query) {
    return sqlite ? "{account} : " + quoted(account, '"') + " AND {body} : (" + query + ")" : query;
  };
  return session_->read_all([&] {
    std::string query = within_account(whole_words);
    std::vector<Found> found = find_latest(*session_, account, query);
    const bool enough = found.size() == static_cast<std::size_t>(most_ranked);
    keep_best(found, static_cast<std::size_t>(most));
    // All that begins like a word that is everywhere takes long to gather, and would come after these.
    if (beginnings != whole_words && !enough && found.size() < static_cast<std::size_t>(most)) {
      query = within_account(beginnings);
      found = find_latest(*session_, account, query);
      keep_best(found, static_cast<std::size_t>(most));
    }
    add_snippets(*session_, query, found);
    std::vector<Hit> hits;
    for (Found& one : found) hits.push_back(std::move(one.hit));
    return hits;
  });
}

}  // namespace store
