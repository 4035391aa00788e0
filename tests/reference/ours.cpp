#include "reference/ours.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>

#include "smollm3/kv_cache.h"
#include "smollm3/model.h"

namespace reference {

std::vector<float> run_ours(const gguf::File& file, std::span<const std::uint32_t> tokens, const Run& run) {
  const auto device =
      run.isa ? compute::make_cpu_device(run.threads, run.isa) : compute::make_device(run.device, run.threads).device;
  smollm3::Model model(file, *device, run.context);
  smollm3::PagePool pool(*device, model.kv_shape(run.kv), tokens.size(), std::numeric_limits<std::uint64_t>::max());
  smollm3::Sequence sequence(pool);
  const std::vector<smollm3::Token> ids(tokens.begin(), tokens.end());
  std::vector<float> logits;
  for (std::size_t step = 0; sequence.length() < ids.size(); ++step) {
    const std::size_t wanted = run.chunks.empty() ? model.max_batch() : run.chunks[step % run.chunks.size()];
    const std::size_t count = std::min(wanted, ids.size() - sequence.length());
    if (!sequence.reserve(count)) throw std::runtime_error("the pool is too small");
    const smollm3::Chunk chunk{&sequence, std::span(ids).subspan(sequence.length(), count), smollm3::Chunk::Logits::All,
                               run.precision};
    const std::span<const float> rows = model.logits({&chunk, 1});
    logits.insert(logits.end(), rows.begin(), rows.end());
  }
  return logits;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

std::vector<compute::Isa> runnable_isas() {
  std::vector<compute::Isa> isas;
  for (const compute::Isa isa : {compute::Isa::Scalar, compute::Isa::Avx2, compute::Isa::Avx512, compute::Isa::Amx}) {
    if (compute::supported(isa)) isas.push_back(isa);
  }
  return isas;
}

std::vector<std::uint32_t> random_tokens(std::size_t count, std::uint32_t vocab, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::uint32_t> tokens(count);
  for (std::uint32_t& token : tokens) token = static_cast<std::uint32_t>(random() % vocab);
  return tokens;
}

namespace {

double log_sum_exp(std::span<const double> x) {
  const double largest = *std::ranges::max_element(x);
  double sum = 0;
  for (const double value : x) sum += std::exp(value - largest);
  return largest + std::log(sum);
}

// Σ p (log p - log q)
double divergence(std::span<const double> p, std::span<const double> q) {
  const double p_total = log_sum_exp(p);
  const double q_total = log_sum_exp(q);
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) sum += std::exp(p[i] - p_total) * ((p[i] - p_total) - (q[i] - q_total));
  return sum;
}

}  // namespace

Distance distance(const Rows& expected, std::span<const float> got) {
  if (got.size() != expected.data.size()) throw std::runtime_error("not as many logits as the reference has");
  Distance d;
  const std::size_t vocab = expected.cols;
  std::vector<double> errors;  // of each position
  double error = 0;            // sum of squares, as the next
  double power = 0;
  for (std::size_t t = 0; t < expected.count; ++t) {
    const std::span<const double> want = expected[t];
    const std::span<const float> row = got.subspan(t * vocab, vocab);
    const std::vector<double> have(row.begin(), row.end());
    if (!std::ranges::all_of(have, [](double value) { return std::isfinite(value); }))
      return {INFINITY, INFINITY, INFINITY, INFINITY};

    double mean = 0;
    for (const double value : want) mean += value / static_cast<double>(vocab);
    double worst = 0;
    double row_error = 0;
    double row_power = 0;
    for (std::size_t i = 0; i < vocab; ++i) {
      const double difference = have[i] - want[i];
      worst = std::max(worst, std::abs(difference));
      row_error += difference * difference;
      row_power += (want[i] - mean) * (want[i] - mean);
    }
    const auto [low, high] = std::ranges::minmax(want);
    d.worst_of_range = std::max(d.worst_of_range, worst / (high - low));
    d.mean_kl += divergence(want, have) / static_cast<double>(expected.count);
    errors.push_back(std::sqrt(row_error / row_power));
    error += row_error;
    power += row_power;
  }
  d.relative_error = std::sqrt(error / power);
  const auto middle = errors.begin() + static_cast<std::ptrdiff_t>(errors.size() / 2);
  std::ranges::nth_element(errors, middle);
  d.median_error = *middle;
  return d;
}

void add(Distance& mean, const Distance& sample, std::uint64_t samples) {
  mean.mean_kl += sample.mean_kl / static_cast<double>(samples);
  mean.relative_error += sample.relative_error / static_cast<double>(samples);
}

}  // namespace reference
