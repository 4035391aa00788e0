#include "compute/cpu/candidates.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <exception>
#include <functional>
#include <limits>
#include <mutex>
#include <numeric>

#include "base/memory.h"
#include "base/processor.h"
#include "compute/cpu/selection.h"
#include "compute/sampling.h"

namespace compute::cpu {
namespace {

constexpr std::size_t block_tokens = 512;  // whose greatest logit and sum of weights are kept
constexpr float infinity = std::numeric_limits<float>::infinity();

}  // namespace

struct CandidateRoom {
  explicit CandidateRoom(std::size_t tokens)
      : weights(padded(tokens)), values(padded(tokens)), numbers(padded(tokens)), order(padded(tokens)) {}

  static std::size_t padded(std::size_t tokens) { return (tokens + 15) / 16 * 16; }

  base::AlignedBuffer<float> weights;  // of all tokens
  base::AlignedBuffer<float> values;   // what was collected, and which tokens they are
  base::AlignedBuffer<std::uint32_t> numbers;
  base::AlignedBuffer<std::uint32_t> order;  // in which what was collected is gone through
  std::vector<float> greatest = {};          // logit of each block
  std::vector<float> sorted = {};
  std::vector<std::uint64_t> sums = {};  // of the weights of each block
  std::vector<std::size_t> found = {};   // in each part
  std::vector<float> unedited = {};      // logits of tokens with edits
  Selection selection = {};
};

namespace {

// Edits logits where they lie, which costs less than a copy of all, and puts back what was there.
class EditedLogits {
 public:
  EditedLogits(float* logits, std::span<const LogitEdit> edits, std::vector<float>& unedited)
      : logits_(logits), edits_(edits), unedited_(unedited) {
    unedited_.clear();
    for (const LogitEdit& edit : edits_) {
      float& logit = logits_[edit.token];
      unedited_.push_back(logit);
      if (std::isfinite(logit)) logit = edited(logit, edit);  // if not, it is still to be found
    }
  }
  ~EditedLogits() {
    for (std::size_t i = edits_.size(); i-- > 0;) logits_[edits_[i].token] = unedited_[i];
  }
  EditedLogits(const EditedLogits&) = delete;
  EditedLogits& operator=(const EditedLogits&) = delete;

 private:
  float* logits_;
  std::span<const LogitEdit> edits_;
  std::vector<float>& unedited_;
};

// One row on its way. Every pass goes over parts, ranges of whole blocks: with a pool, on all its threads.
class Row {
 public:
  Row(const Kernels& kernels, base::ThreadPool* pool, CandidateRoom& room, float* logits, std::size_t tokens)
      : kernels_(kernels), pool_(pool), room_(room), logits_(logits), tokens_(tokens) {
    room_.greatest.resize(blocks());
    room_.sums.resize(blocks());
  }

  void choose(const SamplingRules& rules, Choice& choice) {
    choice = {};
    const bool changed = !rules.edits.empty() || !rules.allowed.empty();
    if (rules.alternatives || !changed) {
      find_greatest();
      if (!finite_) return refuse(choice);
    }
    LogProbabilities model;
    if (rules.alternatives) model = describe(*rules.alternatives, choice);
    {
      const EditedLogits edited(logits_, rules.edits, room_.unedited);
      if (changed) {
        allowed_ = rules.allowed.empty() ? nullptr : rules.allowed.data();
        find_greatest();
        if (!finite_) return refuse(choice);
      }
      const IntegerRules integers = integer_rules(rules);
      choice.token = integers.greedy ? first_greatest() : draw(integers, rules.random);
    }
    if (rules.alternatives) choice.log_probability = model.of(logits_[choice.token]);
  }

 private:
  struct LogProbabilities {
    float greatest = 0;
    double log_of_sum = 0;
    double of(float logit) const { return log_probability(logit, greatest, log_of_sum); }
  };

  std::size_t blocks() const { return (tokens_ + block_tokens - 1) / block_tokens; }
  std::size_t parts() const {
    return pool_ == nullptr ? 1 : std::min(blocks(), static_cast<std::size_t>(pool_->size()));
  }
  std::size_t first_block(std::size_t part) const { return blocks() * part / parts(); }
  std::size_t tokens_in(std::size_t block) const { return std::min(block_tokens, tokens_ - block * block_tokens); }
  const std::uint64_t* allowed_at(std::size_t token) const {
    return allowed_ == nullptr ? nullptr : allowed_ + token / 64;
  }

  template <typename Body>
  void each_part(const Body& body) {
    if (pool_ == nullptr) return body(0);
    pool_->run(static_cast<int>(parts()), [&](int part, int) { body(static_cast<std::size_t>(part)); });
  }
  template <typename Body>
  void each_block(const Body& body) {
    each_part([&](std::size_t part) {
      for (std::size_t block = first_block(part); block < first_block(part + 1); ++block) body(block);
    });
  }

  static void refuse(Choice& choice) { choice = {.finite = false}; }

  void find_greatest() {
    std::atomic<bool> finite{true};
    each_block([&](std::size_t block) {
      const std::size_t first = block * block_tokens;
      bool all_finite = true;
      room_.greatest[block] = kernels_.greatest(logits_ + first, allowed_at(first), tokens_in(block), all_finite);
      if (!all_finite) finite = false;
    });
    finite_ = finite;
    greatest_ = *std::max_element(room_.greatest.begin(), room_.greatest.end());
  }

  std::uint32_t first_greatest() const {
    std::size_t block = 0;
    while (room_.greatest[block] != greatest_) ++block;
    std::size_t token = block * block_tokens;
    while (logits_[token] != greatest_ || !may_be_drawn(token)) ++token;
    return static_cast<std::uint32_t>(token);
  }
  bool may_be_drawn(std::size_t token) const {
    return allowed_ == nullptr || (allowed_[token / 64] >> (token % 64) & 1) != 0;
  }

  // The sum of all weights, which are stored, if they are wanted.
  std::uint64_t weigh(float inverse, float* weights) {
    each_block([&](std::size_t block) {
      const std::size_t first = block * block_tokens;
      room_.sums[block] = kernels_.weigh(logits_ + first, allowed_at(first), tokens_in(block), greatest_, inverse,
                                         weights == nullptr ? nullptr : weights + first);
    });
    return std::accumulate(room_.sums.begin(), room_.sums.end(), std::uint64_t{0});
  }

  // Of the n-th greatest of the blocks' greatest logits, n of them at least are as great; nothing, if there are fewer.
  float nth_greatest(std::size_t n) {
    if (n > blocks()) return -infinity;
    room_.sorted = room_.greatest;
    const auto nth = room_.sorted.begin() + static_cast<std::ptrdiff_t>(n - 1);
    std::nth_element(room_.sorted.begin(), nth, room_.sorted.end(), std::greater<>());
    return *nth;
  }

  // Collects all tokens with x of at least `least`, in order. Returns how many they are.
  std::size_t collect(const float* x, float least) {
    room_.found.assign(parts(), 0);
    each_part([&](std::size_t part) {
      const std::size_t first = first_block(part) * block_tokens;
      const std::size_t end = std::min(tokens_, first_block(part + 1) * block_tokens);
      room_.found[part] = kernels_.collect(x + first, end - first, least, static_cast<std::uint32_t>(first),
                                           room_.values.data() + first, room_.numbers.data() + first);
    });
    std::size_t found = room_.found[0];
    for (std::size_t part = 1; part < parts(); found += room_.found[part++]) {
      const std::size_t first = first_block(part) * block_tokens;
      std::copy_n(room_.values.data() + first, room_.found[part], room_.values.data() + found);
      std::copy_n(room_.numbers.data() + first, room_.found[part], room_.numbers.data() + found);
    }
    return found;
  }

  // The most likely tokens, and what makes log-probabilities of logits. Before any edit.
  LogProbabilities describe(std::size_t wanted, Choice& choice) {
    const LogProbabilities model{greatest_, log_of_weights(weigh(1, nullptr))};
    const std::size_t count = std::min(wanted, tokens_);
    if (count == 0) return model;
    const std::size_t found = collect(logits_, nth_greatest(count));
    const std::span<std::uint32_t> order = room_.order.span().first(found);
    std::iota(order.begin(), order.end(), 0U);
    // Collected in the order of tokens: of equal logits the one that comes first is the lower token.
    const auto likelier = [&](std::uint32_t a, std::uint32_t b) {
      return room_.values[a] > room_.values[b] || (room_.values[a] == room_.values[b] && a < b);
    };
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(), likelier);
    for (std::size_t i = 0; i < count; ++i) {
      choice.alternatives.push_back({room_.numbers[order[i]], model.of(room_.values[order[i]])});
    }
    return model;
  }

  // A weight that no fewer than k tokens are likely to have: the exponential is not exactly monotonic, so a little less
  // than that of the k-th greatest logit of the blocks.
  float least_of(std::uint32_t k, float inverse) {
    const float logit = nth_greatest(k);
    if (logit == -infinity) return 1;
    std::array<float, 16> weight{};
    kernels_.weigh(&logit, nullptr, 1, greatest_, inverse, weight.data());
    return less(weight[0]);
  }
  static float less(float weight) { return std::max(1.0F, weight * (1 - 0x1p-20F) - 1); }

  std::uint32_t draw(const IntegerRules& rules, std::uint64_t random) {
    const std::uint64_t all = weigh(rules.inverse, room_.weights.data());
    const std::uint64_t share = std::max<std::uint64_t>(share_of(rules.share, all), 1);
    const bool top_k = rules.top_k != 0;
    if (!top_k && rules.least <= 1 && share == all) return draw_of_all(scaled(random, all));

    // Tokens below a limit cannot be among those that are left, and are not looked at any more. Top-k: so many others
    // are greater. Top-p: together they weigh no more than what may be left out.
    const auto least = static_cast<float>(std::max(rules.least, 1U));
    const float limit =
        top_k ? least_of(rules.top_k, rules.inverse) : less(static_cast<float>((all - share) / tokens_ + 1));
    std::size_t found = collect(room_.weights.data(), std::max(least, limit));
    if (top_k && found < rules.top_k && limit > least) found = collect(room_.weights.data(), least);

    room_.selection.assign(room_.values.span().first(found));
    const Prefix left = cut(rules, top_k, share);
    return draw_of(left, found, scaled(random, left.sum));
  }

  Prefix cut(const IntegerRules& rules, bool top_k, std::uint64_t share) {
    if (!top_k) return room_.selection.cut(Selection::unlimited, share);
    const Prefix first = room_.selection.cut(rules.top_k, Selection::unlimited);
    share = std::max<std::uint64_t>(share_of(rules.share, first.sum), 1);
    return share == first.sum ? first : room_.selection.cut(rules.top_k, share);
  }

  // The token whose weight `at` falls into, when those of all are laid one after the other.
  std::uint32_t draw_of_all(std::uint64_t at) const {
    std::size_t block = 0;
    for (; at >= room_.sums[block]; ++block) at -= room_.sums[block];
    std::size_t token = block * block_tokens;
    for (; at >= integer(room_.weights[token]); ++token) at -= integer(room_.weights[token]);
    return static_cast<std::uint32_t>(token);
  }

  // The same of those collected that are in the prefix. They are gathered once more: which ones of many they are cannot
  // be foreseen, and a branch for each would cost more.
  std::uint32_t draw_of(const Prefix& left, std::size_t found, std::uint64_t at) {
    float* values = room_.values.data();
    const std::size_t kept = kernels_.collect(values, found, left.least, 0, values, room_.order.data());
    std::uint64_t ties = left.ties;
    for (std::size_t i = 0; i < kept; ++i) {
      if (values[i] == left.least) {
        if (ties == 0) continue;
        --ties;
      }
      if (at < integer(values[i])) return room_.numbers[room_.order[i]];
      at -= integer(values[i]);
    }
    return room_.numbers[room_.order[0]];  // not reached: `at` is less than the sum of the prefix
  }

  static std::uint64_t integer(float weight) { return static_cast<std::uint32_t>(static_cast<std::int32_t>(weight)); }

  const Kernels& kernels_;
  base::ThreadPool* pool_;
  CandidateRoom& room_;
  float* logits_;
  std::size_t tokens_;
  const std::uint64_t* allowed_ = nullptr;
  bool finite_ = true;
  float greatest_ = 0;
};

}  // namespace

Candidates::Candidates(const Kernels& kernels, base::ThreadPool& pool)
    : kernels_(kernels), pool_(pool), rooms_(static_cast<std::size_t>(pool.size())) {}

Candidates::~Candidates() = default;

void Candidates::run(View logits, std::span<const SamplingRules> rules, std::span<Choice> choices) {
  check_candidates(logits, rules, choices);
  const base::FlushDenormals flush;  // also between the passes
  const auto threads = static_cast<std::size_t>(pool_.size());
  const bool by_rows = rules.size() >= threads;
  for (std::size_t i = 0; i < (by_rows ? threads : 1); ++i) prepare_room(i, logits.cols);
  const auto choose = [&](std::size_t i, std::size_t thread, base::ThreadPool* pool) {
    Row(kernels_, pool, *rooms_[thread], logits.row(i).data, logits.cols).choose(rules[i], choices[i]);
  };
  if (by_rows) {
    std::mutex mutex;
    std::exception_ptr failure;  // of memory; the pool's threads must not throw
    pool_.run(static_cast<int>(rules.size()), [&](int i, int thread) {
      try {
        choose(static_cast<std::size_t>(i), static_cast<std::size_t>(thread), nullptr);
      } catch (...) {
        const std::lock_guard lock(mutex);
        failure = std::current_exception();
      }
    });
    if (failure) std::rethrow_exception(failure);
  } else {
    for (std::size_t i = 0; i < rules.size(); ++i) choose(i, 0, &pool_);
  }
}

void Candidates::prepare_room(std::size_t thread, std::size_t tokens) {
  std::unique_ptr<CandidateRoom>& room = rooms_[thread];
  if (room == nullptr || room->weights.size() < CandidateRoom::padded(tokens)) {
    room = std::make_unique<CandidateRoom>(tokens);
  }
}

}  // namespace compute::cpu
