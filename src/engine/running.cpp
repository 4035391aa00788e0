#include "engine/running.h"

#include <algorithm>
#include <boost/uuid/name_generator_sha1.hpp>
#include <boost/uuid/random_generator.hpp>
#include <boost/uuid/uuid.hpp>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace engine {
namespace {

// A thought that has used up its budget may go on for so many tokens if a sentence's end comes by then.
constexpr std::uint32_t sentence_patience = 16;

// Accounts by a number that depends on a secret, so that nobody can look for a name that has another's.
Salt salt_of(const Request& request) {
  if (request.asker.account.empty()) return {};
  static const boost::uuids::uuid secret = boost::uuids::random_generator()();
  const boost::uuids::uuid hash = boost::uuids::name_generator_sha1(secret)(request.asker.account);
  std::uint64_t account = 0;
  std::memcpy(&account, hash.data + 8, sizeof account);
  return {.account = account | 1, .shared = request.shared};
}

}  // namespace

Running::Running(Arrival arrival, std::uint64_t number, const smollm3::Tokenizer& tokenizer, smollm3::PagePool& pool,
                 std::size_t context)
    : order(number),
      sequence(pool),
      arrival_(std::move(arrival)),
      tokenizer_(tokenizer),
      context_(context),
      room_(arrival_.request.limits.room == 0 ? context : arrival_.request.limits.room),
      transcript_(salt_of(arrival_.request)),
      sampler_(arrival_.request.sampling, static_cast<std::size_t>(tokenizer.vocab_size())),
      reply_(arrival_.request, tokenizer, arrival_.generation->journal()) {
  transcript_.append(arrival_.request.prompt, arrival_.request.generated);
  sampler_.see_prompt(arrival_.request.prompt);
  usage_.prompt_tokens = static_cast<std::uint32_t>(transcript_.size());
  const Said& said = arrival_.request.said;
  usage_.generate_seconds = said.generate_seconds;
  usage_.thinking_seconds = said.thinking_seconds;
  take(said.tokens);
}

void Running::begin(smollm3::Sequence known, Clock::time_point now) {
  sequence = std::move(known);
  under_way_ = true;
  if (!std::exchange(begun_, true)) {
    began_ = now;
    usage_.queue_seconds = seconds(now - arrival_.asked);
    usage_.cached_tokens = of_prompt(sequence.length());
  }
  charged_ = std::max(charged_, sequence.length());
  report();
}

void Running::go_on_from(smollm3::Sequence known) {
  // What it had read before it gave up its place was not known from before.
  const std::size_t had = std::max(sequence.length(), charged_);
  if (!first_token_ && known.length() > had) usage_.cached_tokens += of_prompt(known.length()) - of_prompt(had);
  sequence = std::move(known);
  charged_ = std::max(charged_, sequence.length());
  report();
}

std::optional<std::uint64_t> Running::next_page_hash() {
  const std::size_t page = sequence.length() / compute::page_positions;
  if ((page + 1) * compute::page_positions >= transcript_.size()) return std::nullopt;
  if (hashed_pages_ > page + 1) hash_ = hashed_pages_ = 0;
  for (; hashed_pages_ <= page; ++hashed_pages_) hash_ = PrefixCache::hash_on(hash_, transcript_, hashed_pages_);
  return hash_;
}

void Running::give_up() {
  sequence.truncate(0);
  sat_out = pages_noted = 0;
  waits = under_way_ = false;
}

void Running::pause(Clock::time_point now) {
  give_up();
  ticket = {};
  paused_at_ = now;
}

void Running::resume(Clock::time_point now) {
  const Clock::duration time = now - *std::exchange(paused_at_, std::nullopt);
  arrival_.asked += time;
  began_ += time;
  if (first_token_) *first_token_ += time;
}

bool Running::is_late(Clock::time_point now) const {
  const double deadline = arrival_.request.limits.deadline;
  return deadline > 0 && !paused() && seconds(now - arrival_.asked) > deadline;
}

Runnable Running::runnable(compute::Precision prompts, std::size_t rows) const {
  const std::size_t computed = sequence.length();
  const bool mixed = prompts != compute::Precision::Exact;
  const std::size_t unread = transcript_.size() - computed;
  return {.computed = computed,
          .unread = unread,
          .run = mixed ? transcript_.run_length(computed, rows) : unread,
          .precision = transcript_.generated(computed) ? compute::Precision::Exact : prompts,
          .writing = writes(),
          .waits = waits,
          .client = ticket.client(),
          .served = ticket.tokens(),
          .sat_out = sat_out};
}

// Whether what it reads is a prompt, or its own text that it gave up before.
bool Running::catching_up() const {
  return !writing_began() || sequence.length() < usage_.prompt_tokens ||
         transcript_.size() - sequence.length() > sentence_patience;
}

compute::SamplingRules Running::rules() { return sampler_.rules(transcript_.size()); }

std::uint32_t Running::of_prompt(std::size_t tokens) const {
  return static_cast<std::uint32_t>(std::min<std::size_t>(tokens, usage_.prompt_tokens));
}

std::size_t Running::most_tokens() const {
  const std::size_t room = room_ - usage_.prompt_tokens;
  const std::uint32_t asked = arrival_.request.limits.max_tokens;
  return asked == 0 ? room : std::min<std::size_t>(asked, room);
}

bool Running::closing_is_due() const {
  if (!reply_.thinking()) return false;
  if (generation().finish_thinking_asked()) return true;
  const std::optional<std::uint32_t> budget = arrival_.request.limits.thinking_budget;
  if (!budget || usage_.thinking_tokens < *budget) return false;
  return reply_.sentence_ended() || usage_.thinking_tokens >= *budget + sentence_patience;
}

std::optional<Ending> Running::advance(Token drawn, Clock::time_point now) {
  note_first_token(now);
  if (auto ending = over()) return ending;  // with what closed the thinking
  if (closing_is_due()) {
    close_thinking(now);
  } else if (tokenizer_.is_end(drawn)) {
    ++usage_.generated_tokens;
    usage_.generate_seconds = seconds(now - *first_token_);
    return Ending{Finish::Stop};
  } else {
    say({&drawn, 1}, now);
  }
  return over();
}

std::optional<Ending> Running::over() const {
  if (reply_.stopped()) return Ending{Finish::Stop};
  if (usage_.generated_tokens >= most_tokens()) return Ending{Finish::Length};
  if (!too_long_) return std::nullopt;
  return Ending{Finish::Failed,
                base::Error(base::ErrorKind::TooLong, "conversation",
                            "it was begun in a context of " + std::to_string(room_) +
                                " tokens, and does not fit into this one of " + std::to_string(context_),
                            "raise --ctx")};
}

void Running::note_first_token(Clock::time_point now) {
  if (first_token_) return;
  usage_.prompt_seconds = seconds(now - began_);
  const std::chrono::duration<double> before(usage_.generate_seconds);
  first_token_ = now - std::chrono::ceil<Clock::duration>(before);
}

bool Running::is_to_close() const {
  return writing_began() && reply_.thinking() && generation().finish_thinking_asked();
}

void Running::close_thinking(Clock::time_point now) {
  note_first_token(now);
  std::vector<Token> closing = tokenizer_.encode(reply_.line_ended() ? "</think>\n" : "\n</think>\n", true);
  closing.resize(
      std::min(closing.size(), most_tokens() - std::min<std::size_t>(most_tokens(), usage_.generated_tokens)));
  say(closing, now);
}

// All of them or none: a thought that is half closed is none that can be gone on with.
void Running::say(std::span<const Token> tokens, Clock::time_point now) {
  too_long_ = transcript_.size() + tokens.size() > context_;
  if (too_long_) return;
  usage_.generate_seconds = seconds(now - *first_token_);
  if (reply_.thinking()) usage_.thinking_seconds = usage_.generate_seconds;
  take(tokens);
  ticket.charge(FairShare::generated * static_cast<double>(tokens.size()));
  charged_ = transcript_.size();
}

void Running::take(std::span<const Token> tokens) {
  generation().journal().say(tokens, usage_.generate_seconds, usage_.thinking_seconds);
  transcript_.append(tokens, /*generated=*/true);
  for (const Token token : tokens) {
    sampler_.accept(token);
    ++usage_.generated_tokens;
    if (reply_.thinking()) ++usage_.thinking_tokens;
    reply_.take(token);
  }
}

Progress Running::progress() const {
  return {.state = paused()        ? State::Paused
                   : !under_way_   ? State::Queued
                   : catching_up() ? State::Reading
                                   : State::Writing,
          .prompt_tokens = usage_.prompt_tokens,
          .prompt_done = static_cast<std::uint32_t>(std::min<std::size_t>(sequence.length(), usage_.prompt_tokens)),
          .generated_tokens = usage_.generated_tokens,
          .thinking_seconds = usage_.thinking_seconds};
}

void Running::charge_reading(std::size_t rows) {
  const std::size_t until = std::max(sequence.length() + rows, charged_);
  ticket.charge(FairShare::read * static_cast<double>(until - charged_));
  charged_ = until;
}

void Running::report(std::uint32_t ahead, std::uint32_t wait_seconds) {
  Progress now = progress();
  now.ahead = ahead;
  now.wait_seconds = wait_seconds;
  generation().journal().report(now);
}

void Running::report_part(std::size_t tokens) {
  Progress now = progress();
  now.prompt_done = std::min(now.prompt_done + static_cast<std::uint32_t>(tokens), now.prompt_tokens);
  generation().journal().report(now);
}

void Running::end(Finish finish, std::optional<base::Error> error, Clock::time_point now) {
  if (!begun_) usage_.queue_seconds = seconds(now - arrival_.asked);
  try {
    generation().set_transcript(std::make_shared<const Transcript>(transcript_));
    if (finish != Finish::Failed) reply_.finish();
  } catch (const std::exception& failure) {
    finish = Finish::Failed;
    error = base::as_error(failure, "answer");
  }
  report();
  if (finish == Finish::Length && reply_.stopped()) finish = Finish::Stop;
  if (finish == Finish::Stop && reply_.called_tools()) finish = Finish::ToolCalls;
  generation().journal().append(Done{.finish = finish, .error = std::move(error), .usage = usage_});
}

}  // namespace engine
