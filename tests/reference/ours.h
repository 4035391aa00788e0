// The program's own forward pass, run over some tokens in a given way, and how far its logits are from the reference's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "compute/compute.h"
#include "gguf/gguf.h"
#include "reference/reference.h"

namespace reference {

struct Run {
  compute::DeviceKind device = compute::DeviceKind::Cpu;
  quant::Type kv = quant::Type::F32;
  int threads = 2;
  std::optional<compute::Isa> isa = std::nullopt;  // of the CPU
  compute::Precision precision = compute::Precision::Exact;
  std::uint32_t context = 0;             // as --ctx
  std::vector<std::size_t> chunks = {};  // sizes of the batches, over and over; none: as large as may be
};

// One row of `vocab` logits for each token.
std::vector<float> run_ours(const gguf::File& file, std::span<const std::uint32_t> tokens, const Run& run = {});

bool same_bits(std::span<const float> a, std::span<const float> b);

// The instruction sets this machine can run, the scalar kernels first.
std::vector<compute::Isa> runnable_isas();

std::vector<std::uint32_t> random_tokens(std::size_t count, std::uint32_t vocab, std::uint64_t seed = 1);

struct Distance {
  double worst_of_range = 0;  // largest difference of a logit, as a share of the range of its position's logits
  double relative_error = 0;  // root mean square of the differences, as a share of that of the logits about their mean
  double median_error = 0;    // the same of the middlemost position, so that a few odd ones do not count
  double mean_kl = 0;         // mean Kullback-Leibler divergence from the reference's distribution, in nats
};
Distance distance(const Rows& expected, std::span<const float> got);

// Adds one of so many samples to a mean of relative errors and KLs.
void add(Distance& mean, const Distance& sample, std::uint64_t samples);

}  // namespace reference
