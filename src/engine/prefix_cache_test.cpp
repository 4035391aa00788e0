#include "engine/prefix_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

namespace engine {
namespace {

const std::unique_ptr<compute::Device> device = compute::make_cpu_device(1);
constexpr compute::KvShape shape{.layers = 1, .kv_heads = 1, .head_size = 16, .type = quant::Type::F16};
constexpr std::size_t page_tokens = compute::page_positions;

// What is written for a position, in place of its keys and values: it depends on all tokens up to there, and where
// prompts are computed in a fast mode, on which of them were generated.
std::byte content(const Transcript& transcript, std::size_t position, bool fast_prompts) {
  std::uint64_t hash = 1;
  for (std::size_t i = 0; i <= position; ++i) {
    const auto bit = static_cast<std::uint64_t>(fast_prompts && transcript.generated(i));
    hash = (hash * 31 + static_cast<std::uint64_t>(transcript.tokens()[i]) * 2 + bit) * 0x9e3779b97f4a7c15;
  }
  return static_cast<std::byte>(hash >> 56);
}

// Conversations on one pool, each beside the sequence that it has so far.
class Conversations {
 public:
  struct Conversation {
    Transcript transcript;
    smollm3::Sequence sequence;
  };

  Conversations(std::size_t pages, bool fast_prompts)
      : fast_prompts_(fast_prompts), pool(*device, shape, pages * page_tokens, 1 << 30), cache(pool, fast_prompts) {}

  Conversation& begin(const Transcript& transcript) {
    smollm3::Sequence found = cache.find(transcript);
    found_ = found.length();
    all_.push_back({transcript, std::move(found)});
    Conversation& one = all_.back();
    expect_right(one);
    return one;
  }
  std::size_t found() const { return found_; }  // tokens that the last one began with

  // False if there is no room even when everything else is given back.
  bool compute(Conversation& one, std::size_t count) {
    while (!one.sequence.reserve(count)) {
      if (!cache.evict()) return false;
    }
    for (; count > 0; --count) {
      const std::size_t at = one.sequence.length();
      one.sequence.pages()[at / page_tokens][at % page_tokens] = content(one.transcript, at, fast_prompts_);
      one.sequence.advance(1);
    }
    return true;
  }

  void end(Conversation& one) {
    expect_right(one);
    cache.insert(one.sequence, one.transcript, /*tail=*/true);
    all_.remove_if([&](const Conversation& other) { return &other == &one; });
  }

  void expect_right(const Conversation& one) const {
    for (std::size_t i = 0; i < one.sequence.length(); ++i) {
      ASSERT_EQ(one.sequence.pages()[i / page_tokens][i % page_tokens], content(one.transcript, i, fast_prompts_)) << i;
    }
  }

  void check() const {
    cache.check();
    std::unordered_map<const std::byte*, std::uint32_t> owners;
    for (const Conversation& one : all_) {
      for (const std::byte* page : one.sequence.pages()) ++owners[page];
    }
    cache.each_page([&](const std::byte* page) { ++owners[page]; });
    pool.check(owners);
  }

  std::list<Conversation>& all() { return all_; }

 private:
  bool fast_prompts_;

 public:
  smollm3::PagePool pool;
  PrefixCache cache;

 private:
  std::list<Conversation> all_;
  std::size_t found_ = 0;
};

Transcript transcript_of(std::size_t size, int seed, bool generated = false, Salt salt = {}) {
  std::mt19937 random(static_cast<unsigned>(seed));
  Transcript transcript(salt);
  for (std::size_t i = 0; i < size; ++i) transcript.append(static_cast<Token>(random() % 1000), generated);
  return transcript;
}

Transcript joined(const Transcript& first, std::size_t count, const Transcript& then) {
  Transcript transcript = first;
  transcript.truncate(count);
  transcript.append(then, 0, then.size());
  return transcript;
}

// How many tokens of the one can be found for the other.
std::size_t common_prefix(const Transcript& one, const Transcript& other, bool fast_prompts) {
  std::size_t i = 0;
  for (; i < std::min(one.size(), other.size()); ++i) {
    if (one.tokens()[i] != other.tokens()[i] || (fast_prompts && one.generated(i) != other.generated(i))) break;
    if (one.salt().of_page(i / page_tokens) != other.salt().of_page(i / page_tokens)) break;
  }
  return i;
}

// Begins, computes all, and ends; returns how many tokens were known.
std::size_t take_turn(Conversations& conversations, const Transcript& transcript) {
  auto& one = conversations.begin(transcript);
  const std::size_t found = conversations.found();
  EXPECT_TRUE(conversations.compute(one, transcript.size() - found));
  conversations.end(one);
  return found;
}

TEST(PrefixCache, KnowsAllButTheLastTokenOfWhatWasComputedAndWhatFollowsTheFirstDifferingOneNot) {
  Conversations conversations(100, false);
  const Transcript first = transcript_of(300, 1);
  EXPECT_EQ(take_turn(conversations, first), 0u);
  EXPECT_EQ(take_turn(conversations, first), 299u) << "a regenerated answer";
  EXPECT_EQ(take_turn(conversations, joined(first, 300, transcript_of(50, 2))), 300u) << "the next turn";
  for (const std::size_t branch : {1u, 63u, 64u, 65u, 130u, 256u, 290u}) {
    EXPECT_EQ(take_turn(conversations, joined(first, branch, transcript_of(40, static_cast<int>(branch)))), branch);
  }
  conversations.check();
}

TEST(PrefixCache, RunningOnesShareWhatTheyHaveComputed) {
  Conversations conversations(100, false);
  const Transcript system = transcript_of(200, 1);
  auto& first = conversations.begin(joined(system, 200, transcript_of(100, 2)));
  ASSERT_TRUE(conversations.compute(first, 150));
  conversations.cache.insert(first.sequence, first.transcript, /*tail=*/false);
  const Transcript other = joined(system, 200, transcript_of(100, 3));
  EXPECT_EQ(conversations.cache.known_pages(other), 2u);
  auto& second = conversations.begin(other);
  EXPECT_EQ(conversations.found(), 128u);
  EXPECT_EQ(second.sequence.pages()[1], first.sequence.pages()[1]);
  ASSERT_TRUE(conversations.compute(second, 172));
  ASSERT_TRUE(conversations.compute(first, 150));
  conversations.end(second);
  conversations.end(first);
  EXPECT_EQ(conversations.cache.pages(), 3u + 2 + 2) << "pages that both computed are kept once";
  conversations.check();
}

TEST(PrefixCache, TellsApartWhatWasGeneratedWherePromptsAreFast) {
  Conversations conversations(100, true);
  const Transcript prompt = transcript_of(100, 1);
  const Transcript conversation = joined(prompt, 100, transcript_of(100, 2, /*generated=*/true));
  take_turn(conversations, conversation);
  Transcript given = transcript_of(100, 1);
  const Transcript answer = transcript_of(100, 2);
  given = joined(given, 100, answer);
  auto& strict = conversations.begin(given);
  EXPECT_EQ(conversations.found(), 100u);
  ASSERT_TRUE(conversations.compute(strict, 100));
  conversations.end(strict);
  conversations.begin(given);
  EXPECT_EQ(conversations.found(), 199u);
  conversations.begin(conversation);
  EXPECT_EQ(conversations.found(), 199u);
  conversations.check();
}

TEST(PrefixCache, KeepsAccountsApartExceptWhereAllBeginAlike) {
  Conversations conversations(100, false);
  const auto of = [](std::uint64_t account, std::size_t shared) {
    return transcript_of(300, 1, false, {.account = account, .shared = shared});
  };
  EXPECT_EQ(take_turn(conversations, of(1, 150)), 0u);
  EXPECT_EQ(take_turn(conversations, of(2, 150)), 128u) << "whole pages of the shared beginning";
  EXPECT_EQ(take_turn(conversations, of(1, 150)), 299u);
  EXPECT_EQ(take_turn(conversations, of(3, 0)), 0u);
  conversations.check();
}

TEST(PrefixCache, GivesBackWhatWasUsedLongestAgoAndOfThatWhatWasCheapest) {
  Conversations conversations(40, false);
  for (int i = 0; i < 4; ++i) take_turn(conversations, transcript_of(9 * page_tokens, i));  // 36 pages
  take_turn(conversations, transcript_of(9 * page_tokens, 0));                              // used again
  take_turn(conversations, transcript_of(9 * page_tokens, 9));  // room for it has to be made
  EXPECT_EQ(conversations.cache.known_pages(transcript_of(9 * page_tokens, 0)), 8u);
  EXPECT_LT(conversations.cache.known_pages(transcript_of(9 * page_tokens, 1)), 8u);
  EXPECT_EQ(conversations.cache.known_pages(transcript_of(9 * page_tokens, 2)), 8u);
  conversations.check();
}

TEST(PrefixCache, GivesEverythingBackThatNobodyUses) {
  Conversations conversations(40, false);
  auto& under_way = conversations.begin(transcript_of(200, 1));
  ASSERT_TRUE(conversations.compute(under_way, 200));
  conversations.cache.insert(under_way.sequence, under_way.transcript, false);
  take_turn(conversations, joined(transcript_of(200, 1), 190, transcript_of(300, 2)));
  while (conversations.cache.evict()) conversations.check();
  EXPECT_EQ(conversations.cache.pages(), 3u) << "those of the one under way";
  EXPECT_EQ(conversations.pool.free_pages(), 40u - 4);
}

// Whatever is begun, computed, ended, forked and given back: what is found is right, and where nothing had to be given
// back, it is all that can be known.
TEST(PrefixCache, RandomConversationsFindWhatIsTheirs) {
  for (int seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(static_cast<unsigned>(seed));
    const bool fast_prompts = seed % 2 == 0;
    const bool ample = seed % 3 != 0;
    Conversations conversations(ample ? 4000 : 24, fast_prompts);
    std::vector<Transcript> computed;
    int evicted = 0, shared = 0;
    for (int step = 0; step < 1500; ++step) {
      auto& all = conversations.all();
      const auto some = [&] {
        auto it = all.begin();
        std::advance(it, static_cast<std::ptrdiff_t>(random() % all.size()));
        return it;
      };
      if (all.size() < 4 && random() % 2 == 0) {
        const Salt salt{.account = random() % 3, .shared = random() % 2 * 100};
        Transcript next = transcript_of(1 + random() % 200, static_cast<int>(random() % 50), random() % 4 == 0, salt);
        if (!computed.empty() && random() % 4 != 0) {
          const Transcript& other = computed[random() % computed.size()];
          Transcript longer(random() % 2 == 0 ? salt : other.salt());
          longer.append(other, 0, random() % (other.size() + 1));
          longer.append(next, 0, next.size());
          next = longer;
        }
        if (next.size() > 6 * page_tokens) next.truncate(6 * page_tokens);
        conversations.begin(next);
        shared += conversations.found() > 0 ? 1 : 0;
        if (!ample) continue;
        std::size_t known = 0;
        for (const Transcript& other : computed) known = std::max(known, common_prefix(other, next, fast_prompts));
        EXPECT_EQ(conversations.found(), std::min(known, next.size() - 1));
      } else if (!all.empty()) {
        const auto one = some();
        const std::size_t left = one->transcript.size() - one->sequence.length();
        const std::size_t before = conversations.cache.pages();
        if (left > 0 && conversations.compute(*one, 1 + random() % left)) {
          evicted += conversations.cache.pages() < before ? 1 : 0;
          if (random() % 2 == 0) {
            Transcript pages = one->transcript;
            pages.truncate(one->sequence.length() / page_tokens * page_tokens);
            conversations.cache.insert(one->sequence, one->transcript, false);
            computed.push_back(pages);
          }
        } else {
          Transcript done = one->transcript;
          done.truncate(one->sequence.length());
          computed.push_back(done);
          conversations.end(*one);
        }
        if (computed.size() > 200) computed.erase(computed.begin());
      }
      if (ample && computed.size() > 150) break;
      conversations.check();
    }
    EXPECT_GT(shared, 10);
    EXPECT_TRUE(ample || evicted > 100) << evicted;
  }
}

}  // namespace
}  // namespace engine
