#include "engine/transcript.h"

#include <gtest/gtest.h>

#include <random>

namespace engine {
namespace {

TEST(Transcript, KnowsWhatWasGeneratedAcrossPages) {
  std::mt19937 random(1);
  Transcript transcript;
  std::vector<bool> expected;
  for (int i = 0; i < 2000; ++i) {
    if (random() % 50 == 0) {
      const std::size_t size = expected.size() - std::min<std::size_t>(expected.size(), random() % 150);
      transcript.truncate(size);
      expected.resize(size);
    }
    const std::vector<Token> some(random() % 70, 5);
    const bool generated = random() % 2 == 0;
    transcript.append(some, generated);
    expected.insert(expected.end(), some.size(), generated);
    ASSERT_EQ(transcript.size(), expected.size());
    for (std::size_t at = expected.size() - std::min<std::size_t>(expected.size(), 200); at < expected.size(); ++at) {
      ASSERT_EQ(transcript.generated(at), expected[at]) << at;
    }
    if (expected.empty()) continue;
    const std::size_t begin = random() % expected.size();
    const std::size_t most = 1 + random() % 200;
    std::size_t end = begin;
    while (end < expected.size() && end - begin < most && expected[end] == expected[begin]) ++end;
    ASSERT_EQ(transcript.run_length(begin, most), end - begin);
  }
}

TEST(Transcript, PrefixesAreOfTokensAndIfWantedOfTheirProvenance) {
  Transcript a, b;
  a.append(std::vector<Token>{1, 2, 3}, false);
  a.append(std::vector<Token>{4, 5, 6}, true);
  b.append(std::vector<Token>{1, 2, 3, 4, 5, 7}, false);
  EXPECT_EQ(a.common_prefix(b, false), 5u);
  EXPECT_EQ(a.common_prefix(b, true), 3u);
  EXPECT_EQ(a.common_prefix(a, true), 6u);
  EXPECT_EQ(a.common_prefix({}, true), 0u);
}

}  // namespace
}  // namespace engine
