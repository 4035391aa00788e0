#include "server/http_text.h"

#include <gtest/gtest.h>

namespace server {
namespace {

TEST(HttpText, DecodesPercents) {
  EXPECT_EQ(percent_decode("a%20b%2Fc%C3%A9"), "a b/c\xC3\xA9");
  EXPECT_EQ(percent_decode("a+b"), "a+b");
  EXPECT_EQ(percent_decode("a+b", true), "a b");
  for (const char* broken : {"%", "%4", "%zz", "a%2"}) EXPECT_EQ(percent_decode(broken), std::nullopt) << broken;
}

TEST(HttpText, ReadsForms) {
  using Fields = std::map<std::string, std::string>;
  EXPECT_EQ(parse_form("text=a+%26+b&think=1&round=0"), (Fields{{"text", "a & b"}, {"think", "1"}, {"round", "0"}}));
  EXPECT_EQ(parse_form("a=1&a=2&b&=c&%zz=1&c=%"), (Fields{{"a", "2"}, {"b", ""}}));
  EXPECT_EQ(parse_form(""), Fields{});
  EXPECT_EQ(parse_form("a=b=c"), (Fields{{"a", "b=c"}}));
}

TEST(HttpText, CleansText) {
  EXPECT_EQ(clean_text("a\r\nb\rc\nd"), "a\nb\nc\nd");
  EXPECT_EQ(clean_text("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"), "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
  EXPECT_EQ(clean_text("a\xFFz"), "a\xEF\xBF\xBDz");
  EXPECT_EQ(clean_text("\xC0\xBC"), "\xEF\xBF\xBD\xEF\xBF\xBD");              // an overlong '<'
  EXPECT_EQ(clean_text("\xED\xA0\x80").find("\xED\xA0"), std::string::npos);  // half a surrogate pair
  EXPECT_EQ(clean_text("\xE2\x82"), "\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(HttpText, EventsKeepTheirLines) {
  EXPECT_EQ(sse_event("a"), "data: a\n\n");
  EXPECT_EQ(sse_event("a\nb\n"), "data: a\ndata: b\ndata: \n\n");
  EXPECT_EQ(sse_event("", "done"), "event: done\ndata: \n\n");
  EXPECT_EQ(sse_message("a\nb", "17"), "id: 17\ndata: a\ndata: b\n\n");
}

// Text of a model or a user must not be able to end an event and begin another.
TEST(HttpText, EventsCannotBeForged) {
  for (const char* text : {"x\n\nevent: done", "x\r\revent: done", "x\r\n\r\nevent: done"}) {
    const std::string event = sse_event(text);
    EXPECT_EQ(event, "data: x\ndata: \ndata: event: done\n\n") << text;
  }
}

}  // namespace
}  // namespace server
