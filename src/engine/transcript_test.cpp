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

TEST(Transcript, TakesPartsOfOthersWithTheirBits) {
  std::mt19937 random(2);
  for (int i = 0; i < 200; ++i) {
    Transcript all({.account = 7, .shared = 100});
    while (all.size() < 150) all.append(std::vector<Token>(1 + random() % 40, 1), random() % 2 == 0);
    const std::size_t end = random() % all.size(), begin = random() % (end + 1);
    Transcript part;
    part.append(all, begin, end);
    Transcript copy(all.salt());
    copy.append(all.tokens(), all.generated().first(2));
    ASSERT_EQ(part.size(), end - begin);
    for (std::size_t at = begin; at < end; ++at) ASSERT_EQ(part.generated(at - begin), all.generated(at));
    for (std::size_t at = 0; at < all.size(); ++at) ASSERT_EQ(copy.generated(at), at < 128 && all.generated(at));
    EXPECT_EQ(copy.salt().of_page(0), 0u);
    EXPECT_EQ(copy.salt().of_page(1), 7u);
  }
}

}  // namespace
}  // namespace engine
