#include "store/search.h"

#include <algorithm>
#include <array>
#include <cctype>
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
      add(typed.substr(0, end), /*begins=*/end == std::string_view::npos);
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

// What the database returns of a text, taken apart where the marks are.
std::vector<Snippet> snippets_of(std::string_view text) {
  std::vector<Snippet> parts;
  Snippet part;
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
  finish(false);
  return parts;
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

std::string query_of(std::string_view typed, bool sqlite) {
  std::string query;
  for (const Term& term : terms_of(typed)) {
    if (!query.empty()) query += sqlite ? " " : " & ";  // in SQLite AND would fail at a term without a word, as a dash
    query += sqlite ? quoted(term.text, '"') : quoted(without_punctuation(term.text), '\'');
    if (term.begins) query += sqlite ? " *" : ":*";
  }
  return query;
}

void add_to_index(Session& session, const std::string& conversation, std::int64_t number, const std::string& text) {
  const std::string body = separate_words(text);
  if (session.is_sqlite()) {
    session.sql << "insert into search (rowid, body) select id, :body from messages where conversation = :conversation "
                   "and number = :number",
        use(body), use(conversation), use(number);
    return;
  }
  const std::string words = without_punctuation(body);
  session.sql << "insert into search (message, body, words) select id, :body, to_tsvector('simple', :words) from "
                 "messages where conversation = :conversation and number = :number",
      use(body), use(words), use(conversation), use(number);
}

std::vector<Hit> Database::search(const std::string& account, const std::string& typed, int most) {
  const std::string query = query_of(typed, session_->is_sqlite());
  if (query.empty()) return {};
  static constexpr const char* in_sqlite =
      "select c.id, c.title, m.number, snippet(search, 0, char(2), char(3), '…', 16), bm25(search) from search join "
      "messages m on m.id = search.rowid join conversations c on c.id = m.conversation where search match :query and "
      "c.account = :account and c.deleted = 0 order by search.rowid desc limit :ranked";
  static constexpr const char* in_postgres =
      "select f.id, f.title, f.number, ts_headline('simple', f.body, f.query, 'MaxFragments=1, MaxWords=16, "
      "MinWords=8, "
      "StartSel=' || chr(2) || ', StopSel=' || chr(3)), -ts_rank_cd(f.words, f.query) from (select c.id, c.title, "
      "m.number, s.body, s.words, q.query from to_tsquery('simple', :query) q(query) join search s on s.words @@ "
      "q.query "
      "join messages m on m.id = s.message join conversations c on c.id = m.conversation where c.account = :account "
      "and "
      "c.deleted = 0 order by m.id desc limit :ranked) f";
  const std::string sql = session_->is_sqlite() ? in_sqlite : in_postgres;
  return session_->read([&] {
    struct Ranked {
      Hit hit;
      double rank;
    };
    std::vector<Ranked> found;
    Ranked one{};
    std::string snippet;
    soci::statement statement =
        (session_->sql.prepare << sql, use(query), use(account), use(most_ranked), into(one.hit.conversation),
         into(one.hit.title), into(one.hit.number), into(snippet), into(one.rank));
    statement.execute();
    while (statement.fetch()) {
      one.hit.snippets = snippets_of(snippet);
      found.push_back(one);
    }
    std::ranges::stable_sort(found, {}, &Ranked::rank);
    std::vector<Hit> hits;
    for (Ranked& it : found) {
      const bool known =
          std::ranges::any_of(hits, [&](const Hit& hit) { return hit.conversation == it.hit.conversation; });
      if (!known) hits.push_back(std::move(it.hit));
      if (hits.size() == static_cast<std::size_t>(most)) break;
    }
    return hits;
  });
}

}  // namespace store
