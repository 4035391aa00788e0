#include "compute/cuda/candidates.h"

#include <algorithm>
#include <cstring>

#include "compute/cuda/choose.h"
#include "compute/sampling.h"

namespace compute::cuda {
namespace {

// Arrays that lie in one piece of memory, one after the other.
class Layout {
 public:
  template <typename T>
  std::size_t add(std::size_t count) {
    const std::size_t at = bytes_;
    bytes_ += (count * sizeof(T) + 15) / 16 * 16;
    return at;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_ = 0;
};

Choice choice_of(const SamplingRules& rules, const RowChoice& row, std::size_t tokens) {
  Choice choice{.finite = row.finite};
  if (!row.finite) return choice;
  choice.token = row.token;
  if (!rules.alternatives) return choice;
  const double log_of_sum = log_of_weights(row.sum);
  choice.log_probability = log_probability(row.logit, row.greatest, log_of_sum);
  for (std::size_t i = 0; i < std::min<std::size_t>(*rules.alternatives, tokens); ++i) {
    choice.alternatives.push_back(
        {row.alternatives[i], log_probability(row.alternative_logits[i], row.greatest, log_of_sum)});
  }
  return choice;
}

}  // namespace

void Candidates::run(cudaStream_t stream, View logits, std::span<const SamplingRules> rules,
                     std::span<Choice> choices) {
  check_candidates(logits, rules, choices);
  if (rules.empty()) return;
  std::size_t edits = 0;
  std::size_t words = 0;
  for (const SamplingRules& row : rules) {
    edits += row.edits.size();
    words += row.allowed.size();
  }
  Layout layout;
  const std::size_t rows_at = layout.add<RowRules>(rules.size());
  const std::size_t edits_at = layout.add<LogitEdit>(edits);
  const std::size_t masks_at = layout.add<std::uint64_t>(words);
  const std::size_t input_bytes = layout.bytes();
  const std::size_t choices_at = layout.add<RowChoice>(rules.size());
  const std::size_t unedited_at = layout.add<float>(edits);
  if (layout.bytes() > device_bytes_) {
    const std::size_t bytes = layout.bytes() * 2;
    device_ = DeviceMemory(bytes);
    host_ = PinnedMemory(bytes);
    device_bytes_ = bytes;
  }

  std::uint32_t edit = 0;
  std::uint32_t word = 0;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const SamplingRules& row = rules[i];
    host_.as<RowRules>(rows_at)[i] = {.rules = integer_rules(row),
                                      .random = row.random,
                                      .first_edit = edit,
                                      .edits = static_cast<std::uint32_t>(row.edits.size()),
                                      .first_word = word,
                                      .masked = !row.allowed.empty(),
                                      .described = row.alternatives.has_value(),
                                      .alternatives = row.alternatives.value_or(0)};
    std::copy(row.edits.begin(), row.edits.end(), host_.as<LogitEdit>(edits_at) + edit);
    std::copy(row.allowed.begin(), row.allowed.end(), host_.as<std::uint64_t>(masks_at) + word);
    edit += static_cast<std::uint32_t>(row.edits.size());
    word += static_cast<std::uint32_t>(row.allowed.size());
  }
  check(cudaMemcpyAsync(device_.as(), host_.as(), input_bytes, cudaMemcpyHostToDevice, stream), "sampling rules");
  choose_rows(stream,
              {.logits = logits.data,
               .tokens = logits.cols,
               .stride = logits.stride,
               .rows = device_.as<RowRules>(rows_at),
               .edits = device_.as<LogitEdit>(edits_at),
               .unedited = device_.as<float>(unedited_at),
               .masks = device_.as<std::uint64_t>(masks_at)},
              rules.size(), device_.as<RowChoice>(choices_at));
  check(cudaMemcpyAsync(host_.as(choices_at), device_.as(choices_at), rules.size() * sizeof(RowChoice),
                        cudaMemcpyDeviceToHost, stream),
        "drawn tokens");
  check(cudaStreamSynchronize(stream), "forward pass");
  for (std::size_t i = 0; i < rules.size(); ++i) {
    choices[i] = choice_of(rules[i], host_.as<RowChoice>(choices_at)[i], logits.cols);
  }
}

}  // namespace compute::cuda
