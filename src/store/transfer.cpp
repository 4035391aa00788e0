// Whole conversations, out of a store and into one.
#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "store/database.h"
#include "store/export.h"
#include "store/names.h"
#include "store/rows.h"
#include "store/search.h"
#include "store/session.h"

namespace store {
namespace {

using soci::into;
using soci::use;

void read_answers(Session& session, WholeConversation& conversation) {
  std::int64_t number = 0;
  AnswerRecord record;
  std::string prompt, tokens;
  soci::statement answers =
      (session.sql.prepare << "select number, settings, tokenizer, whole, prompt, tokens, epoch "
                              "from answers where conversation = :id order by number",
       use(conversation.id), into(number), into(record.settings), into(record.fingerprint.tokenizer),
       into(record.fingerprint.whole), into(prompt), into(tokens), into(record.epoch));
  answers.execute();
  while (answers.fetch()) {
    record.prompt = decode(prompt);
    record.said = decode(tokens);
    conversation.answers[number] = record;
  }
}

void read_gains(Session& session, WholeConversation& conversation) {
  std::int64_t number = 0, last_event = 0;
  std::string tokens;
  double writing_seconds = 0, thinking_seconds = 0;
  std::map<std::int64_t, std::string> sums;
  soci::statement gains =
      (session.sql.prepare << "select number, tokens, last_event, writing_seconds, thinking_seconds from gains where "
                              "conversation = :id order by number, first_token",
       use(conversation.id), into(number), into(tokens), into(last_event), into(writing_seconds),
       into(thinking_seconds));
  gains.execute();
  while (gains.fetch()) {
    sums[number] += tokens;
    AnswerRecord& record = conversation.answers[number];
    record.last_event = static_cast<std::uint64_t>(last_event);
    record.writing_seconds = writing_seconds;
    record.thinking_seconds = thinking_seconds;
  }
  for (const auto& [answer, sum] : sums) conversation.answers[answer].said = decode(sum);
}

struct Place {
  bool taken = false;
  std::string account{};
  Time deleted = 0;
};

Place place_of(Session& session, const std::string& id) {
  Place place;
  session.sql << "select account, deleted from conversations where id = :id" << session.for_update(), use(id),
      into(place.account), into(place.deleted);
  place.taken = session.sql.got_data();
  return place;
}

void set_deleted(Session& session, const std::string& id, Time deleted) {
  session.sql << "update conversations set deleted = :deleted where id = :id", use(deleted), use(id);
}

// Whether all that is said in the one is said in the other, which may have gone on.
bool is_in(const WholeConversation& given, const Conversation& kept) {
  const auto same = [](const std::string& one, const std::string& other, bool begins) {
    const std::string text = storable(one);
    return begins ? other.starts_with(text) : other == text;
  };
  return std::ranges::all_of(given.messages, [&](const Message& message) {
    const Message* there = kept.find(message.number);
    const bool begins = message.condition != Condition::Whole;
    return there != nullptr && there->parent == message.parent && there->role == message.role &&
           same(message.thinking, there->thinking, begins) && same(message.text, there->text, begins);
  });
}

void insert_answer(Session& session, const std::string& conversation, const Message& message,
                   const AnswerRecord& record) {
  const bool whole = message.condition == Condition::Whole;
  const std::string prompt = encode(record.prompt), said = encode(record.said);
  const std::string none;
  session.sql << "insert into answers (conversation, number, settings, tokenizer, whole, prompt, tokens, vain_resumes, "
                 "epoch) values (:conversation, :number, :settings, :tokenizer, :whole, :prompt, :tokens, 0, :epoch)",
      use(conversation), use(message.number), use(record.settings), use(record.fingerprint.tokenizer),
      use(record.fingerprint.whole), use(prompt), use(whole ? said : none), use(record.epoch);
  if (whole) return;
  const std::string thinking = storable(message.thinking), text = storable(message.text);
  const auto last_event = static_cast<std::int64_t>(record.last_event);
  session.sql << "insert into gains (conversation, number, first_token, tokens, thinking, text, last_event, "
                 "writing_seconds, thinking_seconds) values (:conversation, :number, 0, :tokens, :thinking, :text, "
                 ":event, :writing, :thought)",
      use(conversation), use(message.number), use(said), use(thinking), use(text), use(last_event),
      use(record.writing_seconds), use(record.thinking_seconds);
}

void insert(Session& session, const std::string& account, const WholeConversation& conversation) {
  const std::string title = storable(conversation.title);
  const int pinned = conversation.pinned ? 1 : 0, archived = conversation.archived ? 1 : 0;
  session.sql << "insert into conversations (id, account, title, named, created, changed, pinned, archived, deleted, "
                 "shown) values (:id, :account, :title, 1, :created, :changed, :pinned, :archived, 0, :shown)",
      use(conversation.id), use(account), use(title), use(conversation.created), use(conversation.changed), use(pinned),
      use(archived), use(conversation.shown);
  insert_tags(session, conversation.id, conversation.tags);
  for (const Message& message : conversation.messages) {
    insert_message(session, conversation.id, message);
    if (message.role == Role::User) continue;
    const auto record = conversation.answers.find(message.number);
    insert_answer(session, conversation.id, message,
                  record != conversation.answers.end() ? record->second : AnswerRecord{});
  }
}

std::optional<WholeConversation> whole_in(Session& session, const std::string& account, const std::string& id) {
  auto found = conversation_in(session, account, id);
  if (!found) return std::nullopt;
  WholeConversation whole{std::move(*found), {}};
  read_answers(session, whole);
  read_gains(session, whole);
  for (Message& message : whole.messages) {
    if (message.condition != Condition::Whole) message.condition = Condition::Interrupted;
  }
  return whole;
}

}  // namespace

void index_message(Session& session, const std::string& conversation, std::int64_t number, const std::string& text) {
  // PostgreSQL takes up to 1 MB of words and their places.
  constexpr std::size_t most_indexed = 500'000;
  add_to_index(session, conversation, number, text.substr(0, base::utf8::cut(text, most_indexed)));
}

void insert_message(Session& session, const std::string& conversation, const Message& message) {
  const bool whole = message.condition == Condition::Whole;
  const std::string role = name_of(message.role), condition = name_of(message.condition);
  // What was interrupted lies in its gains, so that it can be gone on with.
  const std::string thinking = whole ? storable(message.thinking) : "", text = whole ? storable(message.text) : "";
  session.sql << "insert into messages (conversation, number, parent, role, condition, thinking, text, asked, ended, "
                 "created) values (:conversation, :number, :parent, :role, :condition, :thinking, :text, :asked, "
                 ":ended, :created)",
      use(conversation), use(message.number), use(message.parent), use(role), use(condition), use(thinking), use(text),
      use(message.asked), use(message.ended), use(message.created);
  if (whole) index_message(session, conversation, message.number, text);
}

void insert_tags(Session& session, const std::string& conversation, const std::vector<std::string>& tags) {
  for (const std::string& tag : tags) {
    const std::string kept = storable(tag);
    session.sql << "insert into tags (conversation, tag) values (:id, :tag) on conflict do nothing", use(conversation),
        use(kept);
  }
}

std::optional<WholeConversation> Database::whole(const std::string& account, const std::string& id) {
  return session_->read_all([&] { return whole_in(*session_, account, id); });
}

bool Database::duplicate(const std::string& account, const std::string& id, std::int64_t answer,
                         const std::string& new_id, Time now) {
  return session_->write([&] {
    auto whole = whole_in(*session_, account, id);
    const Message* last = whole ? whole->find(answer) : nullptr;
    if (last == nullptr || last->role != Role::Assistant) return false;
    std::vector<Message> path;
    for (const Message* message : whole->path_to(answer)) path.push_back(*message);
    whole->messages = std::move(path);
    std::erase_if(whole->answers, [&](const auto& one) { return whole->find(one.first) == nullptr; });
    whole->id = new_id;
    whole->created = whole->changed = now;
    whole->pinned = whole->archived = false;
    whole->shown = answer;
    insert(*session_, account, *whole);
    return true;
  });
}

bool Database::add(const std::string& account, WholeConversation conversation) {
  // The other id is that of its content: so it is not added again the next time, either.
  const std::string other = digest_of(conversation);
  if (conversation.id.empty()) conversation.id = other;
  return session_->write([&] {
    require_account(*session_, account);
    for (const std::string& id : {conversation.id, other}) {
      const Place place = place_of(*session_, id);
      if (!place.taken) {
        conversation.id = id;
        insert(*session_, account, conversation);
        return true;
      }
      if (place.account != account) continue;
      if (place.deleted != 0) set_deleted(*session_, id, 0);
      const auto kept = conversation_in(*session_, account, id);
      if (kept && is_in(conversation, *kept)) return place.deleted != 0;
      if (place.deleted != 0) set_deleted(*session_, id, place.deleted);
    }
    throw Conflict("conversation " + conversation.id, "its id is taken by another", "give it another");
  });
}

}  // namespace store
