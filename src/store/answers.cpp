// Answers on their way: accepted with a question, recorded as they grow, ended.
#include "store/database.h"
#include "store/names.h"
#include "store/rows.h"
#include "store/search.h"
#include "store/session.h"

namespace store {
namespace {

using base::Error;
using base::ErrorKind;
using soci::into;
using soci::use;

// The condition of a message, whose row is locked by this until the transaction ends; none if there is no such message.
std::optional<Condition> condition_in(Session& session, const AnswerId& answer) {
  std::string name;
  session.sql << "select condition from messages where conversation = :conversation and number = :number"
              << session.for_update(),
      use(answer.conversation), use(answer.number), into(name);
  if (!session.sql.got_data()) return std::nullopt;
  return condition_of(name);
}

bool goes_on(std::optional<Condition> condition) {
  return condition == Condition::Open || condition == Condition::Paused;
}

void set_condition(Session& session, const AnswerId& answer, Condition condition) {
  const std::string name = name_of(condition);
  session.sql << "update messages set condition = :condition where conversation = :conversation and number = :number",
      use(name), use(answer.conversation), use(answer.number);
}

std::int64_t recorded_tokens(Session& session, const AnswerId& answer) {
  std::int64_t count = 0;
  session.sql << "select coalesce(sum(length(tokens)), 0) / 4 from gains where conversation = :conversation and "
                 "number = :number",
      use(answer.conversation), use(answer.number), into(count);
  return count;
}

void add_gain(Session& session, const Gain& gain) {
  if (recorded_tokens(session, gain.answer) != gain.first) {
    throw Conflict(ErrorKind::Internal, "store", "an answer's tokens do not follow those that were recorded");
  }
  if (gain.tokens.empty() && gain.thinking.empty() && gain.text.empty()) return;  // the last event is that of before
  const std::string tokens = encode_generated(gain.tokens), thinking = storable(gain.thinking),
                    text = storable(gain.text);
  const auto last_event = static_cast<std::int64_t>(gain.last_event);
  session.sql
      << "insert into gains (conversation, number, first_token, tokens, thinking, text, last_event, writing_seconds, "
         "thinking_seconds) values (:conversation, :number, :first, :tokens, :thinking, :text, :event, :writing, "
         ":thought) on conflict (conversation, number, first_token) do update set tokens = gains.tokens || "
         "excluded.tokens, thinking = gains.thinking || excluded.thinking, text = gains.text || excluded.text, "
         "last_event = excluded.last_event, "
         "writing_seconds = excluded.writing_seconds, thinking_seconds = excluded.thinking_seconds",
      use(gain.answer.conversation), use(gain.answer.number), use(gain.first), use(tokens), use(thinking), use(text),
      use(last_event), use(gain.writing_seconds), use(gain.thinking_seconds);
  if (gain.tokens.empty()) return;
  session.sql << "update answers set vain_resumes = 0 where conversation = :conversation and number = :number and "
                 "vain_resumes <> 0",
      use(gain.answer.conversation), use(gain.answer.number);
}

struct Sum {
  std::string tokens, thinking, text;
  std::int64_t last_event = 0;
  double writing_seconds = 0, thinking_seconds = 0;
};

Sum sum_of_gains(Session& session, const AnswerId& answer) {
  Sum sum;
  std::string tokens, thinking, text;
  soci::statement gains =
      (session.sql.prepare
           << "select tokens, thinking, text, last_event, writing_seconds, thinking_seconds from gains where "
              "conversation = :conversation and number = :number order by first_token",
       use(answer.conversation), use(answer.number), into(tokens), into(thinking), into(text), into(sum.last_event),
       into(sum.writing_seconds), into(sum.thinking_seconds));
  gains.execute();
  while (gains.fetch()) {
    sum.tokens += tokens;
    sum.thinking += thinking;
    sum.text += text;
  }
  return sum;
}

// Those that are open or paused, in the order in which they were asked.
std::vector<Unfinished> unfinished_in(Session& session) {
  std::vector<Unfinished> all;
  Unfinished one;
  std::string condition, prompt;
  soci::statement query =
      (session.sql.prepare
           << "select m.conversation, m.number, c.account, m.condition, m.asked, a.settings, "
              "a.tokenizer, a.whole, a.prompt, a.vain_resumes, a.epoch from messages m join conversations c "
              "on c.id = m.conversation join answers a on a.conversation = m.conversation and "
              "a.number = m.number where m.condition in ('open', 'paused') and c.deleted = 0 order "
              "by m.created, m.conversation, m.number",
       into(one.answer.conversation), into(one.answer.number), into(one.account), into(condition), into(one.asked),
       into(one.settings), into(one.fingerprint.tokenizer), into(one.fingerprint.whole), into(prompt),
       into(one.vain_resumes), into(one.epoch));
  query.execute();
  while (query.fetch()) {
    one.condition = condition_of(condition);
    one.prompt = decode(prompt);
    all.push_back(one);
  }
  for (Unfinished& it : all) {
    const Sum sum = sum_of_gains(session, it.answer);
    it.said = decode(sum.tokens).ids;
    it.last_event = static_cast<std::uint64_t>(sum.last_event);
    it.writing_seconds = sum.writing_seconds;
    it.thinking_seconds = sum.thinking_seconds;
  }
  return all;
}

// Throws Conflict unless the question can follow what is there.
void check_place(Session& session, const Question& question) {
  std::string account;
  std::int64_t deleted = 0, shown = 0;
  session.sql << "select account, deleted, shown from conversations where id = :id" << session.for_update(),
      use(question.conversation), into(account), into(deleted), into(shown);
  if (account != question.account || deleted != 0) {
    throw Conflict("conversation", "there is none of that id", "start a new one");
  }
  if (shown != question.parent) throw Conflict("conversation", "it went on in another window", "load it again");
  if (shown != 0 && goes_on(condition_in(session, {question.conversation, shown}))) {
    throw Conflict("conversation", "the answer before is still being written", "wait for it, or stop it");
  }
}

}  // namespace

AnswerId Database::accept(const Question& question) {
  return session_->write([&] {
    soci::session& sql = session_->sql;
    if (session_->is_in_memory()) {
      // Accounts are in the database that has a place; whose a question is has been seen there.
      sql << "insert into accounts (name, password, created) values (:account, '', 0) on conflict do nothing",
          use(question.account);
    } else {
      require_account(*session_, question.account);
    }
    const std::string title = storable(question.title);
    sql << "insert into conversations (id, account, title, named, created, changed, pinned, archived, deleted, shown) "
           "values (:id, :account, :title, 0, :created, :changed, 0, 0, 0, 0) on conflict do nothing",
        use(question.conversation), use(question.account), use(title), use(question.now), use(question.now);
    check_place(*session_, question);
    std::int64_t last = 0;
    sql << "select coalesce(max(number), 0) from messages where conversation = :id", use(question.conversation),
        into(last);
    const Message asked{.number = last + 1, .parent = question.parent, .text = question.text, .created = question.now};
    const Message answer{.number = last + 2,
                         .parent = last + 1,
                         .role = Role::Assistant,
                         .condition = Condition::Open,
                         .asked = question.asked,
                         .created = question.now};
    insert_message(*session_, question.conversation, asked);
    insert_message(*session_, question.conversation, answer);
    const std::string prompt = encode(question.prompt);
    sql << "insert into answers (conversation, number, settings, tokenizer, whole, prompt, tokens, vain_resumes, "
           "epoch) "
           "values (:conversation, :number, :settings, :tokenizer, :whole, :prompt, '', 0, 0)",
        use(question.conversation), use(answer.number), use(question.settings), use(question.fingerprint.tokenizer),
        use(question.fingerprint.whole), use(prompt);
    // The prompt of the answer before is the beginning of this one.
    sql << "update answers set prompt = '' where conversation = :conversation and number = :number",
        use(question.conversation), use(question.parent);
    sql << "update conversations set shown = :shown, changed = :now, archived = 0 where id = :id", use(answer.number),
        use(question.now), use(question.conversation);
    return AnswerId{question.conversation, answer.number};
  });
}

void Database::record(std::span<const Gain> gains) {
  session_->write([&] {
    for (const Gain& gain : gains) {
      if (goes_on(condition_in(*session_, gain.answer))) add_gain(*session_, gain);
    }
  });
}

std::pair<std::size_t, std::uint64_t> Database::recorded(const AnswerId& answer) {
  return session_->read([&] {
    const Sum sum = sum_of_gains(*session_, answer);
    return std::pair(sum.tokens.size() / 4, static_cast<std::uint64_t>(sum.last_event));
  });
}

void Database::pause(const AnswerId& answer, bool paused) {
  session_->write([&] {
    if (goes_on(condition_in(*session_, answer))) {
      set_condition(*session_, answer, paused ? Condition::Paused : Condition::Open);
    }
  });
}

void Database::end(const Gain& last, const Ending& ending) {
  session_->write([&] {
    soci::session& sql = session_->sql;
    const AnswerId& answer = ending.answer;
    if (!goes_on(condition_in(*session_, answer))) return;
    add_gain(*session_, last);
    if (ending.condition == Condition::Interrupted) {  // as it is, so that it may be gone on with
      set_condition(*session_, answer, ending.condition);
      return;
    }
    const Sum sum = sum_of_gains(*session_, answer);
    const std::string condition = name_of(ending.condition);
    sql << "update messages set condition = :condition, thinking = :thinking, text = :text, ended = :ended where "
           "conversation = :conversation and number = :number",
        use(condition), use(sum.thinking), use(sum.text), use(ending.ended), use(answer.conversation),
        use(answer.number);
    index_message(*session_, answer.conversation, answer.number, sum.text);
    sql << "update answers set tokens = :tokens where conversation = :conversation and number = :number",
        use(sum.tokens), use(answer.conversation), use(answer.number);
    sql << "delete from gains where conversation = :conversation and number = :number", use(answer.conversation),
        use(answer.number);
  });
}

Tokens Database::last_tokens(const std::string& conversation, const std::string& tokenizer) {
  return session_->read_all([&] {
    AnswerId answer{.conversation = conversation};
    std::string prompt, tokens;
    session_->sql
        << "select number, prompt, tokens from answers where conversation = :conversation and tokenizer = :tokenizer "
           "and prompt <> '' order by number desc limit 1",
        use(conversation), use(tokenizer), into(answer.number), into(prompt), into(tokens);
    return decode(prompt + tokens + sum_of_gains(*session_, answer).tokens);
  });
}

std::vector<Unfinished> Database::unfinished() {
  return session_->read_all([&] { return unfinished_in(*session_); });
}

std::optional<Unfinished> Database::reopen(const AnswerId& answer, const Fingerprint& fingerprint) {
  return session_->write([&]() -> std::optional<Unfinished> {
    if (condition_in(*session_, answer) != Condition::Interrupted) return std::nullopt;
    set_condition(*session_, answer, Condition::Open);
    soci::statement update =
        (session_->sql.prepare << "update answers set whole = :whole, vain_resumes = 0, epoch = "
                                  "epoch + 1 where conversation = :conversation and number = "
                                  ":number and tokenizer = :tokenizer",
         use(fingerprint.whole), use(answer.conversation), use(answer.number), use(fingerprint.tokenizer));
    update.execute(true);
    if (update.get_affected_rows() == 0) {
      throw Conflict("answer", "it was written by a model with another vocabulary", "ask again");
    }
    for (Unfinished& one : unfinished_in(*session_)) {
      if (one.answer == answer) return std::move(one);
    }
    return std::nullopt;  // its conversation was removed
  });
}

void Database::forgive(const AnswerId& answer) {
  session_->write([&] {
    session_->sql << "update answers set vain_resumes = 0 where conversation = :conversation and number = :number",
        use(answer.conversation), use(answer.number);
  });
}

void Database::resume(const AnswerId& answer) {
  session_->write([&] {
    session_->sql << "update answers set vain_resumes = vain_resumes + 1 where conversation = :conversation and number "
                     "= :number",
        use(answer.conversation), use(answer.number);
  });
}

}  // namespace store
