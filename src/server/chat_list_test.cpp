// What keeps conversations in order: archive, tags, copies, titles, and those that are not kept.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "server/fake_exchange.h"
#include "server/fake_page.h"
#include "server/test_models.h"

namespace server {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string id = "0123456789abcdef0123456789abcdef";
const std::string conversation = "/c/" + id;
const std::string other = "/c/fedcba9876543210fedcba9876543210";

class Organising : public testing::Test {
 protected:
  // Until its answer has ended.
  FakePage say(const std::string& to, const std::string& text, int after = 0) {
    const auto sent = site.post(to + "/messages", "text=" + text + "&after=" + std::to_string(after));
    EXPECT_EQ(sent->response->status, 200u) << sent->response->body;
    const auto stream = site.get(to + "/stream/" + std::to_string(after + 2));
    site.until_over(stream);
    FakePage page;
    page.take(stream->sent);
    return page;
  }
  std::string body(const std::string& path, const std::string& query = {}) {
    return site.ask({.method = "GET", .path = path, .query = query})->response->body;
  }
  unsigned change(const std::string& action, const std::string& form = {}, const std::string& of = conversation) {
    return site.post(of + "/" + action, form)->response->status;
  }
  Site site{[] { return make_engine(renamed_model()); }};
};

TEST_F(Organising, TheArchiveIsApart) {
  say(conversation, "What+is+12+%2B+34%3F");
  say(other, "What+is+1+%2B+1%3F");
  EXPECT_EQ(change("archive"), 200u);
  EXPECT_THAT(body("/search"), Not(HasSubstr("12 + 34")));
  EXPECT_THAT(body("/search"), HasSubstr("1 + 1"));
  EXPECT_THAT(body("/search", "shelf=archive"), HasSubstr("12 + 34"));
  EXPECT_THAT(body("/search", "shelf=archive"), Not(HasSubstr("1 + 1")));
  EXPECT_THAT(body("/search", "q=34"), HasSubstr(id)) << "it is found";
  EXPECT_THAT(body(conversation), HasSubstr("12 + 34")) << "and opened";
  EXPECT_EQ(change("unarchive"), 200u);
  EXPECT_THAT(body("/search"), HasSubstr("12 + 34"));
  EXPECT_EQ(change("archive", "", "/c/00000000000000000000000000000000"), 404u);
}

TEST_F(Organising, TagsAreListedAndFound) {
  say(conversation, "What+is+12+%2B+34%3F");
  say(other, "What+is+1+%2B+1%3F");
  EXPECT_EQ(change("tags", "tags-" + id + "=sums,+%23two+words,,"), 200u);
  EXPECT_THAT(body("/search"), HasSubstr("value=\"sums, two words\""));
  EXPECT_THAT(body("/search", "q=%23two+words"), HasSubstr(id));
  EXPECT_THAT(body("/search", "q=%23two+words"), Not(HasSubstr("1 + 1")));
  EXPECT_THAT(body("/search", "q=%23none"), HasSubstr("No chat has this tag."));
  EXPECT_EQ(change("tags", "tags-" + id + "=" + std::string(41, 'x')), 400u);
  EXPECT_EQ(change("tags", "tags-" + id + "=a%00b"), 400u);
  EXPECT_THAT(body("/search", "q=%23sums"), HasSubstr(id)) << "what is refused changes nothing";
  EXPECT_EQ(change("tags", "tags-" + id + "="), 200u);
  EXPECT_THAT(body("/search", "q=%23sums"), Not(HasSubstr(id)));
}

TEST_F(Organising, ABranchIsAConversationOfItsOwn) {
  say(conversation, "What+is+12+%2B+34%3F");
  say(conversation, "And+7+%2B+1%3F", 2);
  const auto copied = site.post(conversation + "/duplicate", "at=2");
  EXPECT_EQ(copied->response->status, 204u);
  const std::string copy = copied->header("HX-Redirect");
  ASSERT_EQ(copy.size(), conversation.size());
  EXPECT_THAT(body(copy), HasSubstr("46"));
  EXPECT_THAT(body(copy), Not(HasSubstr("7 + 1")));
  EXPECT_THAT(say(copy, "What+is+5+%2B+6%3F", 2).shown(), HasSubstr("11"));
  EXPECT_THAT(body(conversation), Not(HasSubstr("5 + 6")));
  EXPECT_EQ(change("duplicate", "at=1"), 404u) << "a question";
  EXPECT_EQ(change("duplicate", "at=8"), 404u);
  EXPECT_EQ(change("duplicate", "at=x"), 400u);
}

TEST_F(Organising, TheModelWritesTitlesOnce) {
  say(conversation, "What+is+12+%2B+34%3F");
  say(other, "What+is+1+%2B+1%3F");
  EXPECT_EQ(change("rename", "title-" + other.substr(3) + "=My+own", other), 200u);
  site.call({}, [this](FakeExchange&) { return site.routes.keep_house(/*titles=*/true); });
  const auto heads = [&] { return store::Database(site.place.where()).list("local", 10); };
  const auto title = [&](const std::string& of) {
    for (const store::ConversationHead& head : heads()) {
      if (head.id == of) return head.title;
    }
    return std::string();
  };
  site.until([&] { return title(id) != "What is 12 + 34?"; });
  const std::string written = title(id);
  EXPECT_FALSE(written.empty());
  EXPECT_EQ(title(other.substr(3)), "My own");
  EXPECT_FALSE(store::Database(site.place.where()).unnamed().has_value());
  EXPECT_EQ(change("rename", "title-" + id + "=Better"), 200u);
  say(conversation, "And+7+%2B+1%3F", 2);
  EXPECT_EQ(title(id), "Better");
}

TEST_F(Organising, WhatIsTemporaryIsNotWritten) {
  const std::string page = body("/temporary");
  EXPECT_THAT(page, HasSubstr("hx-post=\"/t/"));
  const std::string temporary = "/t/" + id;
  EXPECT_THAT(say(temporary, "What+is+12+%2B+34%3F").shown(), HasSubstr("46"));
  EXPECT_THAT(say(temporary, "And+7+%2B+1%3F", 2).shown(), HasSubstr("8"));
  EXPECT_THAT(body(temporary), HasSubstr("12 + 34"));
  EXPECT_THAT(body("/search"), Not(HasSubstr("12 + 34")));
  EXPECT_THAT(body("/search", "q=34"), HasSubstr("Nothing was found"));
  EXPECT_EQ(site.get(conversation)->response->status, 404u);
  EXPECT_EQ(change("rename", "title-" + id + "=x", temporary), 404u) << "it is in no list";
  const std::string copy = site.post(temporary + "/duplicate", "at=2")->header("HX-Redirect");
  EXPECT_THAT(copy, testing::StartsWith("/t/"));
  EXPECT_THAT(body(copy), HasSubstr("46"));
  for (const auto& file : std::filesystem::directory_iterator(site.place.where())) {
    std::ifstream in(file.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    EXPECT_EQ(bytes.find("12 + 34"), std::string::npos) << file.path();
  }
}

}  // namespace
}  // namespace server
