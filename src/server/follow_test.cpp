#include "server/follow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "server/answer_json.h"
#include "server/fake_exchange.h"
#include "server/fake_page.h"
#include "server/test_models.h"
#include "server/views.h"

namespace server {
namespace {

using engine::State;
using testing::Contains;
using testing::HasSubstr;

const ModelFacts facts{.name = "model", .device = "cpu", .mode = "exact", .context = 4096, .threads = 2};

using Asked = std::shared_ptr<engine::Generation>;

class Following : public testing::Test {
 protected:
  Site::Asked follow(const Asked& generation, const std::string& last_event_id = {},
                     StreamForm form = StreamForm::Page) {
    return site.call({.method = "GET", .last_event_id = last_event_id}, [generation, form](FakeExchange& exchange) {
      return follow_answer(exchange, {.generation = generation, .facts = std::make_shared<const ModelFacts>(facts)}, 0,
                           form, [] { return false; });
    });
  }
  // What a terminal is told, whose messages are JSON.
  std::vector<AnswerUpdate> told(const Asked& generation, const std::string& last_event_id) {
    const auto stream = follow(generation, last_event_id, StreamForm::Json);
    site.until_over(stream);
    std::vector<AnswerUpdate> updates;
    for (std::size_t at = 0; (at = stream->sent.find("\ndata: {", at)) != std::string::npos; ++at) {
      updates.push_back(answer_update_from(stream->sent.substr(at + 7, stream->sent.find('\n', at + 1) - at - 7)));
    }
    return updates;
  }
  FakePage followed(const Asked& generation) {
    const auto stream = follow(generation);
    site.until_over(stream);
    FakePage page;
    page.take(stream->sent);
    return page;
  }
  // As a page is that has followed up to an event.
  static FakePage page_at(const engine::Journal& journal, std::uint64_t number) {
    FakePage page;
    AnswerView view(0, facts);
    page.take_fragment(view.update(answer_until(journal, number)));
    return page;
  }

  Site site{[] { return make_engine(demo_model()); }};
};

// Whatever a page was shown when its connection broke, it ends as one that never lost it.
TEST_F(Following, FromAnyEventEndsWithTheSamePage) {
  engine::Turn turn;
  turn.input.messages = {{{"role", "user"}, {"content", "Make a table: Fruit and Amount: apple 3, pear 5, plum 8"}}};
  turn.sampling = {.temperature = 0};
  const Asked generation = site.engines.start(turn);
  const FakePage whole = followed(generation);
  EXPECT_THAT(whole.shown(), HasSubstr("<table>"));
  EXPECT_THAT(whole.shown(), HasSubstr("Thought for"));
  const engine::Journal& journal = generation->journal();
  ASSERT_GT(journal.last_event(), 20u);
  EXPECT_EQ(whole.last_id, "0." + std::to_string(journal.last_event()));
  for (std::uint64_t number = 0; number <= journal.last_event(); ++number) {
    FakePage page = page_at(journal, number);
    const auto back = follow(generation, "0." + std::to_string(number));
    site.until_over(back);
    page.take(back->sent);
    EXPECT_EQ(page.shown(), whole.shown()) << "from " << number;
    EXPECT_EQ(page.events.back(), "done");
    EXPECT_LE(page.messages, 1u);
  }
}

TEST_F(Following, ShowsTheQueueAndTheReadingOfThePrompt) {
  const Asked generation = std::make_shared<engine::Generation>(nullptr);
  const auto stream = follow(generation);
  const auto report_and_wait = [&](const engine::Progress& progress) {
    generation->journal().report(progress);
    const std::size_t before = stream->pieces;
    site.until([&] { return stream->pieces > before; });
  };
  report_and_wait({.state = State::Queued, .ahead = 2, .prompt_tokens = 12000});
  report_and_wait({.state = State::Queued, .ahead = 1, .prompt_tokens = 12000});
  report_and_wait({.state = State::Queued, .ahead = 0, .prompt_tokens = 12000});
  report_and_wait({.state = State::Reading, .prompt_tokens = 12000, .prompt_done = 3000});
  report_and_wait({.state = State::Reading, .prompt_tokens = 12000, .prompt_done = 6000});
  generation->journal().append(engine::Answer{"Hello"});
  report_and_wait({.state = State::Writing, .prompt_tokens = 12000, .prompt_done = 12000, .generated_tokens = 1});
  // Others were given its room; it comes back.
  report_and_wait({.state = State::Queued, .ahead = 1, .prompt_tokens = 12000, .generated_tokens = 1});
  generation->journal().append(engine::Done{.usage = {.prompt_tokens = 12000, .generated_tokens = 1}});
  site.until_over(stream);
  FakePage page;
  page.take(stream->sent);
  for (const char* status : {"2 answers come first", "one answer comes first", "this answer is the next",
                             "25 % of 12,000 tokens", "50 % of 12,000 tokens"}) {
    EXPECT_THAT(page.statuses, Contains(HasSubstr(status)));
  }
  EXPECT_THAT(page.statuses.back(), HasSubstr("one answer comes first"));
  EXPECT_THAT(page.shown(), HasSubstr("Hello"));
}

TEST_F(Following, TellsATerminalWhatItLacks) {
  const Asked generation = std::make_shared<engine::Generation>(nullptr);
  engine::Journal& journal = generation->journal();
  journal.append(engine::Thinking{"Hm"});
  journal.append(engine::Answer{"One"});
  journal.append(engine::Answer{" two"});
  journal.report({.state = State::Writing, .prompt_tokens = 20, .prompt_done = 20, .generated_tokens = 7});
  journal.append(engine::Done{.finish = engine::Finish::Length, .usage = {.generated_tokens = 7}});
  struct Case {
    const char* id;
    bool anew;
    const char *thinking, *text;
  };
  for (const Case& wanted : {Case{"", false, "Hm", "One two"}, Case{"0.1", false, "", "One two"},
                             Case{"0.2", false, "", " two"}, Case{"1.2", true, "Hm", "One two"}}) {
    const std::vector<AnswerUpdate> updates = told(generation, wanted.id);
    ASSERT_EQ(updates.size(), 1u) << wanted.id;
    const AnswerUpdate& update = updates[0];
    EXPECT_EQ(update.anew, wanted.anew) << wanted.id;
    EXPECT_EQ(update.thinking, wanted.thinking) << wanted.id;
    EXPECT_EQ(update.text, wanted.text) << wanted.id;
    ASSERT_TRUE(update.progress && update.done) << wanted.id;
    EXPECT_EQ(*update.progress, journal.progress()) << wanted.id;
    EXPECT_EQ(update.done->finish, engine::Finish::Length) << wanted.id;
    EXPECT_EQ(update.done->usage.generated_tokens, 7u) << wanted.id;
  }
}

// The status has no number: a page that comes back is told it anew.
TEST_F(Following, TellsWhoComesBackTheStatus) {
  const Asked generation = std::make_shared<engine::Generation>(nullptr);
  generation->journal().report({.state = State::Reading, .prompt_tokens = 1000, .prompt_done = 500});
  const auto back = follow(generation, "0.0");
  site.until([&] { return back->pieces > 0; });
  EXPECT_THAT(back->sent, HasSubstr("50 %"));
  generation->journal().append(engine::Answer{"Hello"});
  const auto later = follow(generation, "0.1");
  site.until([&] { return later->pieces > 0; });
  generation->journal().append(engine::Done{});
  site.until_over(later);
}

TEST_F(Following, ShowsAPageThatHasMoreThanWasKeptOfAPausedAnswerWhatThereIs) {
  const Asked generation = std::make_shared<engine::Generation>(nullptr);
  for (const char* word : {"One", " two", " three"}) generation->journal().append(engine::Answer{word});
  FakePage page = page_at(generation->journal(), 3);
  const Asked again = std::make_shared<engine::Generation>(nullptr);
  again->journal().append(engine::Answer{"One"});
  const auto back = follow(again, "0.3");
  again->journal().report({.state = State::Paused});
  site.until([&] { return back->pieces > 0; });
  for (const char* word : {" two", " three"}) again->journal().append(engine::Answer{word});
  again->journal().append(engine::Done{});
  site.until_over(back);
  page.take(back->sent);
  EXPECT_THAT(page.statuses, Contains(HasSubstr("Paused")));
  EXPECT_THAT(page.shown(), HasSubstr("One two three"));
}

TEST_F(Following, DoesNotTellTheDetailsOfItsOwnMistakes) {
  const Asked generation = std::make_shared<engine::Generation>(nullptr);
  generation->journal().append(engine::Answer{"Hel"});
  generation->journal().append(engine::Done{
      .finish = engine::Finish::Failed, .error = base::Error(base::ErrorKind::Internal, "/srv/secret", "is wrong")});
  const FakePage page = followed(generation);
  EXPECT_THAT(page.outcome, HasSubstr("role=\"alert\""));
  EXPECT_EQ(page.outcome.find("secret"), std::string::npos);
  EXPECT_THAT(page.shown(), HasSubstr("Hel"));
  EXPECT_THAT(page.events, Contains("failed"));
}

}  // namespace
}  // namespace server
