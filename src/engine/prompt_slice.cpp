#include "engine/prompt_slice.h"

#include <algorithm>
#include <utility>

namespace engine {

void PromptSlice::begin(std::vector<Part> parts, const BatchWork& work, compute::Precision prompts) {
  overtaken_by_ = 0;
  using Logits = smollm3::Chunk::Logits;
  std::vector<smollm3::Chunk> chunks;
  chunks.reserve(parts.size());
  for (const Part& part : parts) {
    chunks.push_back({.sequence = &part.running->sequence,
                      .tokens = part.running->next_tokens(part.rows),
                      .logits = part.draws ? Logits::Last : Logits::None,
                      .precision = part.running->runnable(prompts, 1).precision});
  }
  pass_.begin(chunks);
  parts_ = std::move(parts);
  slice_ = Slice{.work = work, .layers_left = pass_.layers_left()};
}

void PromptSlice::advance() {
  pass_.advance(1);
  slice_->layers_left = pass_.layers_left();
}

PromptSlice::Finished PromptSlice::finish() {
  const compute::View logits = pass_.finish();
  slice_.reset();
  return {logits, std::exchange(parts_, {}), std::exchange(gone_, {})};
}

PromptSlice::Gone PromptSlice::drop() noexcept {
  pass_.give_up();
  slice_.reset();
  parts_.clear();
  return std::exchange(gone_, {});
}

bool PromptSlice::has_part(const Running& running) const {
  return std::ranges::find(parts_, &running, &Part::running) != parts_.end();
}

std::vector<Running*> PromptSlice::readers() const {
  std::vector<Running*> readers;
  for (const Part& part : parts_) {
    if (!part.gone) readers.push_back(part.running);
  }
  return readers;
}

void PromptSlice::leave(std::unique_ptr<Running> running) {
  std::ranges::find(parts_, running.get(), &Part::running)->gone = true;
  gone_.push_back(std::move(running));
}

void PromptSlice::report() const {
  const double done = 1 - static_cast<double>(slice_->layers_left) / model_.config().layers;
  for (const Part& part : parts_) {
    if (!part.gone) part.running->report_part(static_cast<std::size_t>(static_cast<double>(part.rows) * done));
  }
}

}  // namespace engine
