// Draws a token from each row of logits, as docs/numerics.md, "Sampling", defines it: everything is integer after the
// exponential, so a sum may be taken in any order. One block goes through a row; weights are computed anew in each pass
// rather than stored. Passes over V logits: to check them and find the greatest; to sum the weights; to make a
// histogram of them; two to tell apart the weights of the bucket where the cut lies; one to find the warp's range that
// the draw falls into. Edits are made where the logits lie, and taken back.
#include "compute/cuda/choose.h"

#include "compute/cuda/launch.h"
#include "compute/cuda/ptx.h"
#include "compute/cuda/row_weights.h"

namespace compute::cuda {
namespace {

constexpr unsigned block_threads = 1024;
constexpr unsigned warps = block_threads / 32;
constexpr unsigned all_lanes = 0xffffffffU;
constexpr Wide unlimited = ~Wide{0};

static_assert(weight_buckets <= warps * 128, "a warp takes the 128 buckets of one exponent");

struct Bins {
  unsigned count[256];
  Wide sum[256];
};

// What a cut leaves: weights above `least`, and the first `ties` of those equal to it.
struct Cut {
  unsigned least;  // the bits of a float
  Wide ties;
  Wide sum;
};

struct Shared {
  Wide buckets[weight_buckets];
  Wide partial[warps];  // of what the warps found
  Wide second[warps];
  Bins bins;
  // What thread 0 tells the others.
  Wide count;
  Wide sum;
  Wide sum_above;
  unsigned found;
};

__device__ Wide max_of_block(Wide value, Shared& shared) {
  for (int offset = 16; offset > 0; offset /= 2) {
    const Wide other = __shfl_xor_sync(all_lanes, value, offset);
    if (other > value) value = other;
  }
  if (threadIdx.x % 32 == 0) shared.partial[threadIdx.x / 32] = value;
  __syncthreads();
  Wide most = 0;
  for (unsigned warp = 0; warp < warps; ++warp) most = shared.partial[warp] > most ? shared.partial[warp] : most;
  __syncthreads();
  return most;
}

__device__ Wide sum_of_warp(Wide value) {
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(all_lanes, value, offset);
  return value;
}

__device__ Wide sum_of_block(Wide value, Shared& shared) {
  value = sum_of_warp(value);
  if (threadIdx.x % 32 == 0) shared.partial[threadIdx.x / 32] = value;
  __syncthreads();
  Wide sum = 0;
  for (unsigned warp = 0; warp < warps; ++warp) sum += shared.partial[warp];
  __syncthreads();
  return sum;
}

// The greatest key below `limit` of the tokens that may be drawn.
__device__ Wide greatest_key(const RowWeights& row, std::size_t tokens, Wide limit, Shared& shared) {
  Wide most = 0;
  for (std::size_t t = threadIdx.x; t < tokens; t += block_threads) {
    const Wide key = key_of(row.logits[t], t);
    if (key < limit && key > most && row.may_be_drawn(t)) most = key;
  }
  return max_of_block(most, shared);
}

__device__ Wide sum_of_weights(const RowWeights& row, std::size_t tokens, Shared& shared) {
  Wide sum = 0;
  for (std::size_t t = threadIdx.x; t < tokens; t += block_threads) sum += row.of(t);
  return sum_of_block(sum, shared);
}

// Of tokens that weigh at least `least`, which is not 0.
__device__ void make_histogram(const RowWeights& row, std::size_t tokens, unsigned least, Shared& shared) {
  for (unsigned i = threadIdx.x; i < weight_buckets; i += block_threads) shared.buckets[i] = 0;
  __syncthreads();
  for (std::size_t t = threadIdx.x; t < tokens; t += block_threads) {
    const unsigned weight = row.of(t);
    if (weight < least) continue;
    const unsigned bits = __float_as_uint(__uint2float_rn(weight));
    atomicAdd(&shared.buckets[bucket_of(bits)], Wide{bucket_entry(bits)});
  }
  __syncthreads();
}

// Thread 0: takes a bin off the limits in `shared`, unless it reaches one of them.
__device__ bool reaches(Wide count, Wide sum, Shared& shared) {
  if (count >= shared.count || sum >= shared.sum) return true;
  shared.count -= count;
  shared.sum -= sum;
  shared.sum_above += sum;
  return false;
}

// Finds the bucket that reaches a limit, by exponents first; `weight_buckets` if none does.
__device__ void find_bucket(Shared& shared) {
  const unsigned exponent = threadIdx.x / 32;
  Wide count = 0;
  Wide sum = 0;
  for (unsigned i = exponent * 128 + threadIdx.x % 32; i < exponent * 128 + 128 && i < weight_buckets; i += 32) {
    count += bucket_count(shared.buckets[i]);
    sum += bucket_sum(i, shared.buckets[i]);
  }
  count = sum_of_warp(count);
  sum = sum_of_warp(sum);
  if (threadIdx.x % 32 == 0) {
    shared.partial[exponent] = count;
    shared.second[exponent] = sum;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    shared.found = weight_buckets;
    unsigned e = warps;
    while (e > 0 && !reaches(shared.partial[e - 1], shared.second[e - 1], shared)) --e;
    if (e > 0) {
      unsigned i = (e * 128 < weight_buckets ? e * 128 : weight_buckets) - 1;
      while (!reaches(bucket_count(shared.buckets[i]), bucket_sum(i, shared.buckets[i]), shared)) --i;
      shared.found = i;
    }
  }
  __syncthreads();
}

// Of the weights whose bits begin with `prefix` (those that `known` has), finds the byte at `shift` that reaches a
// limit.
__device__ void find_byte(const RowWeights& row, std::size_t tokens, unsigned prefix, unsigned known, unsigned shift,
                          Shared& shared) {
  for (unsigned i = threadIdx.x; i < 256; i += block_threads) {
    shared.bins.count[i] = 0;
    shared.bins.sum[i] = 0;
  }
  __syncthreads();
  for (std::size_t t = threadIdx.x; t < tokens; t += block_threads) {
    const unsigned weight = row.of(t);
    const unsigned bits = __float_as_uint(__uint2float_rn(weight));
    if ((bits & known) != prefix) continue;
    atomicAdd(&shared.bins.count[bits >> shift & 255], 1U);
    atomicAdd(&shared.bins.sum[bits >> shift & 255], Wide{weight});
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    shared.found = 255;
    while (!reaches(shared.bins.count[shared.found], shared.bins.sum[shared.found], shared)) --shared.found;
  }
  __syncthreads();
}

// The shortest prefix of the order (cpu/selection.h) with `count` tokens or with the sum, else all of the histogram.
__device__ Cut cut(const RowWeights& row, std::size_t tokens, Wide count, Wide sum, Shared& shared) {
  if (threadIdx.x == 0) {
    shared.count = count;
    shared.sum = sum;
    shared.sum_above = 0;
  }
  __syncthreads();
  find_bucket(shared);
  if (shared.found == weight_buckets) {
    const Wide all = shared.sum_above;
    __syncthreads();
    return {0, 0, all};
  }
  unsigned prefix = bits_of_bucket(shared.found);
  unsigned known = 0xffff0000U;
  for (int shift = 8; shift >= 0; shift -= 8) {
    __syncthreads();
    find_byte(row, tokens, prefix, known, static_cast<unsigned>(shift), shared);
    prefix |= shared.found << shift;
    known |= 255U << shift;
  }
  const auto weight = static_cast<Wide>(__float2int_rn(__uint_as_float(prefix)));
  const Wide by_sum = shared.sum / weight + (shared.sum % weight != 0 ? 1 : 0);
  const Wide ties = shared.count < by_sum ? shared.count : by_sum;
  const Cut result{prefix, ties, shared.sum_above + ties * weight};
  __syncthreads();
  return result;
}

// The first token whose running sum of kept weights exceeds `at`. `least`: what the rules before the cut left.
__device__ unsigned draw(const RowWeights& row, std::size_t tokens, unsigned least, const Cut& left, Wide at,
                         Shared& shared) {
  const auto bits_at = [&](std::size_t t) -> unsigned {
    const unsigned weight = t < tokens ? row.of(t) : 0;
    return weight < least ? 0 : __float_as_uint(__uint2float_rn(weight));
  };
  const auto weight_of = [](unsigned bits) { return static_cast<Wide>(__float2int_rn(__uint_as_float(bits))); };
  const unsigned warp = threadIdx.x / 32;
  const unsigned lane = threadIdx.x % 32;
  const std::size_t range = (tokens + block_threads - 1) / block_threads * 32;  // of each warp
  Wide sum = 0;
  Wide ties = 0;
  for (std::size_t t = warp * range + lane; t < (warp + 1) * range; t += 32) {
    const unsigned bits = bits_at(t);
    if (bits > left.least) sum += weight_of(bits);
    if (bits == left.least && bits != 0) ++ties;
  }
  sum = sum_of_warp(sum);
  ties = sum_of_warp(ties);
  if (lane == 0) {
    shared.partial[warp] = sum;
    shared.second[warp] = ties;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    Wide ties_left = left.ties;
    const Wide weight = left.least == 0 ? 0 : weight_of(left.least);
    unsigned at_warp = 0;
    for (;; ++at_warp) {
      const Wide kept_ties = shared.second[at_warp] < ties_left ? shared.second[at_warp] : ties_left;
      const Wide kept = shared.partial[at_warp] + kept_ties * weight;
      if (at < kept || at_warp == warps - 1) break;
      at -= kept;
      ties_left -= kept_ties;
    }
    shared.found = at_warp;
    shared.sum = at;
    shared.count = ties_left;
  }
  __syncthreads();
  const bool here = warp == shared.found;
  at = shared.sum;
  Wide ties_left = shared.count;
  __syncthreads();
  if (here) {
    for (std::size_t first = warp * range; first < (warp + 1) * range; first += 32) {
      const unsigned bits = bits_at(first + lane);
      const bool tie = bits == left.least && bits != 0;
      const unsigned tied = __ballot_sync(all_lanes, tie);
      const auto earlier = static_cast<Wide>(__popc(tied & ((1U << lane) - 1)));
      const bool kept = tie ? earlier < ties_left : bits > left.least;
      Wide running = kept ? weight_of(bits) : 0;
      for (unsigned offset = 1; offset < 32; offset *= 2) {
        const Wide before = __shfl_up_sync(all_lanes, running, offset);
        if (lane >= offset) running += before;
      }
      const unsigned beyond = __ballot_sync(all_lanes, running > at);
      if (beyond != 0) {
        if (lane == 0) shared.found = static_cast<unsigned>(first) + static_cast<unsigned>(__ffs(beyond)) - 1;
        break;
      }
      at -= __shfl_sync(all_lanes, running, 31);
      const auto taken = static_cast<Wide>(__popc(tied));
      ties_left -= taken < ties_left ? taken : ties_left;
    }
  }
  __syncthreads();
  return shared.found;
}

__device__ unsigned choose(const RowWeights& row, std::size_t tokens, const IntegerRules& rules, Wide random,
                           Shared& shared) {
  const Wide all = sum_of_weights(row, tokens, shared);
  const unsigned least = rules.least > 1 ? rules.least : 1;
  make_histogram(row, tokens, least, shared);
  Wide count = unlimited;
  Wide of = all;
  Cut left{};
  if (rules.top_k != 0) {
    count = rules.top_k;
    left = cut(row, tokens, count, unlimited, shared);
    of = left.sum;
  }
  Wide share = share_of(rules.share, of);
  if (share == 0) share = 1;
  if (rules.top_k == 0 || share != of) left = cut(row, tokens, count, share, shared);
  return draw(row, tokens, least, left, scaled(random, left.sum), shared);
}

__global__ void __launch_bounds__(block_threads) choose_kernel(ChooseInput input, RowChoice* choices) {
  __shared__ Shared shared;
  ptx::launch_dependents();
  ptx::wait_for_dependencies();
  const RowRules& rules = input.rows[blockIdx.x];
  RowChoice& choice = choices[blockIdx.x];
  float* logits = input.logits + blockIdx.x * input.stride;
  const std::size_t tokens = input.tokens;

  int bad = 0;
  for (std::size_t t = threadIdx.x; t < tokens; t += block_threads) {
    if (!(fabsf(logits[t]) <= FLT_MAX)) bad = 1;
  }
  if (__syncthreads_or(bad) != 0) {
    if (threadIdx.x == 0) choice.finite = false;
    return;
  }

  RowWeights row{logits, nullptr, 0, 1};
  Wide key = greatest_key(row, tokens, unlimited, shared);
  row.greatest = logit_of(key);
  if (rules.described) {
    const Wide sum = sum_of_weights(row, tokens, shared);
    if (threadIdx.x == 0) {
      choice.greatest = row.greatest;
      choice.sum = sum;
    }
    Wide next = key;
    for (unsigned i = 0; i < rules.alternatives && i < tokens; ++i) {
      if (threadIdx.x == 0) {
        choice.alternatives[i] = token_of(next);
        choice.alternative_logits[i] = logits[token_of(next)];
      }
      next = greatest_key(row, tokens, next, shared);
    }
  }

  const LogitEdit* edits = input.edits + rules.first_edit;
  float* unedited = input.unedited + rules.first_edit;
  for (unsigned i = threadIdx.x; i < rules.edits; i += block_threads) {
    float& logit = logits[edits[i].token];
    unedited[i] = logit;
    logit = edited_logit(logit, edits[i]);
  }
  __syncthreads();
  if (rules.masked) row.allowed = input.masks + rules.first_word;
  if (rules.masked || rules.edits != 0) {
    key = greatest_key(row, tokens, unlimited, shared);
    row.greatest = logit_of(key);
  }
  row.inverse = rules.rules.inverse;
  const unsigned token =
      rules.rules.greedy ? token_of(key) : choose(row, tokens, rules.rules, Wide{rules.random}, shared);
  __syncthreads();
  for (unsigned i = threadIdx.x; i < rules.edits; i += block_threads) logits[edits[i].token] = unedited[i];
  __syncthreads();
  if (threadIdx.x == 0) {
    choice.finite = true;
    choice.token = token;
    choice.logit = logits[token];
  }
}

}  // namespace

void choose_rows(cudaStream_t stream, const ChooseInput& input, std::size_t rows, RowChoice* choices) {
  launch(stream, dim3(static_cast<unsigned>(rows)), dim3(block_threads), 0, choose_kernel, input, choices);
}

}  // namespace compute::cuda
