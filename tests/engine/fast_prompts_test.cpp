// Where prompts are computed in the fast mode, on emulated AMX tiles, what is generated still has the bits of the exact
// mode, and with --exact so has everything. What the engine says is held against the model alone: it computes a prompt
// in the fast mode, and the scalar kernels, which define the exact mode's bits, go on from its keys and values.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "compute/compute.h"
#include "engine/engine.h"
#include "engine/quantised_model.h"
#include "engine/sampler.h"
#include "reference/ours.h"
#include "reference/random_model.h"
#include "smollm3/kv_cache.h"
#include "smollm3/model.h"
#include "smollm3/tokenizer.h"

namespace engine {
namespace {

using compute::Isa;
using compute::Precision;

constexpr std::uint32_t context = 1024;
constexpr std::uint32_t generated = 24;  // tokens of each answer

// Shorter than a tile, of several tiles and pages, and longer than a batch.
constexpr std::size_t prompt_lengths[] = {1, 19, 150, 600};

// So hot that all tokens are about as likely, of which the likelier half is kept: an error of a hundredth moves some of
// them from one half to the other, and what is drawn with them.
Sampling sampling(std::uint64_t seed) { return {.temperature = 50, .top_p = 0.5f, .seed = seed}; }

// A model on a device of one instruction set.
struct Computer {
  Computer(const gguf::File& file, Isa isa) : device(compute::make_cpu_device(2, isa)), model(file, *device) {}

  std::vector<float> forward(smollm3::Sequence& sequence, std::span<const Token> tokens, Precision precision) {
    EXPECT_TRUE(sequence.reserve(tokens.size()));
    const smollm3::Chunk chunk{.sequence = &sequence, .tokens = tokens, .precision = precision};
    const std::span<const float> logits = model.logits({&chunk, 1});
    return {logits.begin(), logits.end()};
  }

  std::unique_ptr<compute::Device> device;
  smollm3::Model model;
};

class FastPrompts : public testing::Test {
 protected:
  static void SetUpTestSuite() { file_ = std::make_unique<reference::TemporaryModel>(quantised_model()); }
  static void TearDownTestSuite() { file_.reset(); }

  void SetUp() override {
    if (!compute::supported(Isa::Amx)) GTEST_SKIP() << "this processor cannot run AVX-512";
  }

  static const gguf::File& file() { return file_->file(); }

  static std::unique_ptr<Engine> make_engine(const char* isa, bool exact = false) {
    setenv("SMOLLM3_CPU", isa, 1);
    auto engine = std::make_unique<Engine>(
        gguf::File::open(file_->path()),
        Options{.device = compute::DeviceKind::Cpu, .threads = 2, .context = context, .exact = exact});
    unsetenv("SMOLLM3_CPU");
    return engine;
  }

 private:
  static inline std::unique_ptr<reference::TemporaryModel> file_;
};

struct Answered {
  std::string text;
  Usage usage;
};

std::string text_of(const Journal& journal) {
  std::string text;
  for (const Event& event : journal.read({}).events) {
    if (const auto* answer = std::get_if<Answer>(&event.what)) text += answer->text;
  }
  return text;
}

// An answer that is on its way.
class Asked {
 public:
  Asked(Engine& engine, std::vector<Token> prompt, std::uint64_t seed, std::vector<std::uint64_t> generated_bits = {})
      : generation_(engine.start(Request{.prompt = std::move(prompt),
                                         .generated = std::move(generated_bits),
                                         .sampling = sampling(seed),
                                         .limits = {.max_tokens = generated},
                                         .chat = {}})) {}

  Answered get() const {
    const Done done = generation_->journal().wait_for_end();
    EXPECT_EQ(done.finish, Finish::Length);
    return {text_of(generation_->journal()), done.usage};
  }
  // All tokens, and which of them were generated.
  std::shared_ptr<const Transcript> transcript() const { return generation_->take_transcript(); }

 private:
  std::shared_ptr<Generation> generation_;
};

Asked ask(Engine& engine, std::vector<Token> prompt, std::uint64_t seed) {
  return Asked(engine, std::move(prompt), seed);
}

// A conversation as the engine should have it, computed by the model alone.
class Expected {
 public:
  // What is generated is computed by `generator`.
  Expected(const gguf::File& file, Isa generator, Precision generated_precision = Precision::Exact)
      : tokenizer_(smollm3::Tokenizer::load(file)),
        prompts_(file, Isa::Amx),
        generator_(file, generator),
        precision_(generated_precision),
        pool_(*prompts_.device, prompts_.model.kv_shape(quant::Type::F16), context,
              std::numeric_limits<std::uint64_t>::max()),
        sequence_(pool_) {}

  // The text that follows on `more` tokens of a prompt.
  std::string answer(std::span<const Token> more, std::uint64_t seed) {
    if (!tokens_of_last_.empty()) generator_.forward(sequence_, tokens_of_last_, precision_);
    tokens_.insert(tokens_.end(), more.begin(), more.end());
    std::vector<float> logits;
    constexpr std::size_t cut = 300;  // not as the engine cuts prompts
    for (std::size_t at = 0; at < more.size(); at += cut) {
      logits = prompts_.forward(sequence_, more.subspan(at, std::min(cut, more.size() - at)), Precision::Fast);
    }
    Sampler sampler(sampling(seed), vocab);
    smollm3::StreamDecoder decoder(tokenizer_);
    std::string text;
    for (std::uint32_t i = 0; i < generated; ++i) {
      if (i > 0) logits = generator_.forward(sequence_, tokens_of_last_, precision_);
      tokens_of_last_ = {draw(sampler, logits)};
      sampler.accept(tokens_of_last_.front());
      tokens_.push_back(tokens_of_last_.front());
      text += decoder.push(tokens_of_last_.front());
    }
    return text + decoder.finish();
  }

  // All so far: prompts and answers.
  const std::vector<Token>& tokens() const { return tokens_; }

 private:
  Token draw(Sampler& sampler, std::vector<float>& logits) {
    const compute::SamplingRules rules = sampler.rules(tokens_.size());
    compute::Choice choice;
    generator_.device->candidates({logits.data(), 1, logits.size(), logits.size()}, {&rules, 1}, {&choice, 1});
    return static_cast<Token>(choice.token);
  }

  smollm3::Tokenizer tokenizer_;
  Computer prompts_;
  Computer generator_;
  Precision precision_;
  smollm3::PagePool pool_;
  smollm3::Sequence sequence_;
  std::vector<Token> tokens_;
  std::vector<Token> tokens_of_last_;  // the last one of an answer, whose key and value are still to be computed
};

TEST_F(FastPrompts, AreGoneOnFromExactly) {
  const auto engine = make_engine("amx");
  EXPECT_EQ(engine->mode(), "fast");
  for (const std::size_t length : prompt_lengths) {
    Expected expected(file(), Isa::Scalar);
    Expected all_fast(file(), Isa::Amx, Precision::Fast);
    const std::vector<Token> prompt = random_tokens(length, length);
    const Asked asked = ask(*engine, prompt, 1);
    const Answered first = asked.get();
    EXPECT_EQ(first.text, expected.answer(prompt, 1)) << length;
    EXPECT_NE(first.text, all_fast.answer(prompt, 1)) << length;

    // The next turn goes on from the keys and values of what was generated.
    std::vector<Token> conversation = expected.tokens();
    const std::vector<Token> more = random_tokens(30, length + 1);
    conversation.insert(conversation.end(), more.begin(), more.end());
    const std::shared_ptr<const Transcript> transcript = asked.transcript();
    const std::span<const std::uint64_t> bits = transcript->generated();
    const Answered second = Asked(*engine, conversation, 2, {bits.begin(), bits.end()}).get();
    EXPECT_EQ(second.usage.cached_tokens, length + generated - 1);
    EXPECT_EQ(second.text, expected.answer(more, 2)) << length;
    EXPECT_NE(second.text, all_fast.answer(more, 2)) << length;

    // Asked by someone who has the text alone, it is all a prompt, whatever is known from before.
    const Answered text_alone = ask(*engine, conversation, 2).get();
    EXPECT_EQ(text_alone.usage.cached_tokens, length);
    EXPECT_EQ(text_alone.text, ask(*make_engine("amx"), conversation, 2).get().text) << length;
  }
}

TEST_F(FastPrompts, OfOthersChangeNothing) {
  const auto engine = make_engine("amx");
  std::vector<std::vector<Token>> prompts;
  for (const std::size_t length : prompt_lengths) prompts.push_back(random_tokens(length, length));
  prompts.push_back(prompts.back());  // begins like the one before, whose keys and values it may share
  for (std::size_t i = 400; i < prompts.back().size(); ++i) prompts.back()[i] = static_cast<Token>(i);
  std::vector<Asked> answers;
  for (std::size_t i = 0; i < prompts.size(); ++i) answers.push_back(ask(*engine, prompts[i], i));
  for (std::size_t i = 0; i < prompts.size(); ++i)
    EXPECT_EQ(answers[i].get().text, Expected(file(), Isa::Scalar).answer(prompts[i], i)) << i;
}

// The model's logits, to the bit, of tokens that follow on fast prompts: alone by the scalar kernels, and together in
// one batch, with a prompt that is computed exactly.
TEST_F(FastPrompts, LeaveTheBitsOfLaterTokensExactInAnyBatch) {
  Computer amx(file(), Isa::Amx);
  Computer scalar(file(), Isa::Scalar);
  const compute::KvShape shape = amx.model.kv_shape(quant::Type::F16);
  smollm3::PagePool pool(*amx.device, shape, 4096, std::numeric_limits<std::uint64_t>::max());
  std::vector<smollm3::Sequence> sequences;
  std::vector<std::vector<Token>> next;
  for (const std::size_t length : prompt_lengths) {
    sequences.emplace_back(pool);
    if (length <= amx.model.max_batch()) amx.forward(sequences.back(), random_tokens(length, length), Precision::Fast);
    next.push_back(random_tokens(1, length + 1));
  }
  next.back() = random_tokens(37, 3);  // the longest has no prompt yet: this is its beginning

  std::vector<float> alone;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    smollm3::Sequence sequence = sequences[i].fork(sequences[i].length());
    const std::vector<float> logits = scalar.forward(sequence, next[i], Precision::Exact);
    alone.insert(alone.end(), logits.begin(), logits.end());
  }
  const auto together = [&](std::span<const std::size_t> which, Precision precision) {
    std::vector<smollm3::Sequence> forks;
    for (const std::size_t i : which) forks.push_back(sequences[i].fork(sequences[i].length()));
    std::vector<smollm3::Chunk> chunks;
    for (std::size_t i = 0; i < which.size(); ++i) {
      EXPECT_TRUE(forks[i].reserve(next[which[i]].size()));
      chunks.push_back({.sequence = &forks[i], .tokens = next[which[i]], .precision = precision});
    }
    const std::span<const float> logits = amx.model.logits(chunks);
    return std::vector<float>(logits.begin(), logits.end());
  };
  const std::vector<std::vector<std::size_t>> batches = {{0}, {1}, {2}, {3}, {0, 1, 2}, {2, 3}, {3, 0}, {3, 2, 1, 0}};
  for (const std::vector<std::size_t>& batch : batches) {
    std::vector<float> expected;
    for (const std::size_t i : batch) {
      const auto begin = alone.begin() + static_cast<std::ptrdiff_t>(i * vocab);
      expected.insert(expected.end(), begin, begin + vocab);
    }
    EXPECT_TRUE(reference::same_bits(together(batch, Precision::Exact), expected)) << testing::PrintToString(batch);
    EXPECT_FALSE(reference::same_bits(together(batch, Precision::Fast), expected)) << testing::PrintToString(batch);
  }
}

TEST_F(FastPrompts, AreNotComputedWhereExactIsAskedFor) {
  const auto fast = make_engine("amx");
  const auto exact = make_engine("amx", /*exact=*/true);
  std::vector<std::unique_ptr<Engine>> others;
  for (const char* isa : {"scalar", "avx2", "avx512"}) others.push_back(make_engine(isa));
  EXPECT_EQ(fast->mode(), "fast");
  EXPECT_EQ(exact->mode(), "exact");
  for (const std::size_t length : prompt_lengths) {
    const std::vector<Token> prompt = random_tokens(length, length);
    const std::string text = ask(*exact, prompt, 1).get().text;
    EXPECT_NE(text, ask(*fast, prompt, 1).get().text) << length;
    for (const auto& other : others) {
      EXPECT_EQ(other->mode(), "exact");
      EXPECT_EQ(text, ask(*other, prompt, 1).get().text) << length << " on " << other->device_name();
    }
  }
}

}  // namespace
}  // namespace engine
