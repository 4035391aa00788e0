#include "server/titles.h"

#include <gtest/gtest.h>

namespace server {
namespace {

TEST(Titles, AreWhatTheModelWroteWithoutWhatIsAroundIt) {
  for (const char* written : {"Tides of the sea", "\"Tides of the sea\"", "**Tides of the sea**", "# Tides of the sea",
                              "Title: Tides of the sea", "**Title:** Tides of the sea",
                              " “Tides of the sea.” \n\nIt is about the moon.", "Title: **\"Tides of the sea\"**"}) {
    const auto title = title_from(written);
    ASSERT_TRUE(title.has_value()) << written;
    EXPECT_EQ(*title, "Tides of the sea") << written;
  }
  EXPECT_EQ(title_from("潮汐是怎么来的"), "潮汐是怎么来的");
}

TEST(Titles, AreNoneWhereTheModelWroteNone) {
  for (const std::string& written : {std::string(), std::string(" \n "), std::string("***"), std::string("\"\""),
                                     std::string("..."), std::string(81, 'x')}) {
    EXPECT_FALSE(title_from(written).has_value()) << written;
  }
}

TEST(Titles, AreAskedForByTheBeginnings) {
  const std::string request = title_request("Why?", std::string(5000, 'a'));
  EXPECT_NE(request.find("User: Why?"), std::string::npos);
  EXPECT_LT(request.size(), 1200u);
  EXPECT_EQ(title_of("Why?\nTell me."), "Why?…");
  EXPECT_EQ(title_of("Why?"), "Why?");
}

}  // namespace
}  // namespace server
