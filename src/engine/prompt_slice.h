// A slice of prompts on its way through the layers (layered prefill): whose rows it has, and how far it is. Only the
// worker's thread touches it.
//
//   (nothing) ── begin() ──▶ on its way ── advance() …, finish() ──▶ (nothing)
//                                └── drop(), also after a failure ──▶ (nothing)
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "compute/compute.h"
#include "engine/running.h"
#include "engine/scheduler.h"
#include "smollm3/model.h"

namespace engine {

class PromptSlice {
 public:
  struct Part {
    Running* running;
    std::size_t rows;
    bool draws;  // they are its last, and a token follows
    bool gone = false;
  };
  using Gone = std::vector<std::unique_ptr<Running>>;

  // The model must outlive it.
  explicit PromptSlice(smollm3::Model& model) : model_(model), pass_(model) {}

  bool on_its_way() const { return slice_.has_value(); }
  // Rows of others that were, or are, finished before it. There are not to be many, so that it comes to its end.
  std::size_t overtaken_by() const { return overtaken_by_; }
  void is_overtaken_by(std::size_t rows) { overtaken_by_ += rows; }
  const std::optional<Slice>& slice() const { return slice_; }  // as the scheduler sees it

  // `prompts`: the precision that prompts are computed in. Throws, and there is no slice, if the device fails.
  void begin(std::vector<Part> parts, const BatchWork& work, compute::Precision prompts);
  // One layer. Throws if the device fails; the slice is to be dropped then.
  void advance();
  // The last layer is done: `logits` has a row for each part that draws, in their order.
  struct Finished {
    compute::View logits;
    std::vector<Part> parts;
    Gone gone;
  };
  Finished finish();
  // Returns those that had gone, whose pages it needed until now.
  [[nodiscard]] Gone drop() noexcept;

  bool has_part(const Running& running) const;
  std::vector<Running*> readers() const;  // those whom it is for and who are still there
  const Gone& gone() const { return gone_; }
  // One that it has a part of has ended.
  void leave(std::unique_ptr<Running> running);

  // Tells those who wait how much of their rows is nearly done.
  void report() const;

 private:
  smollm3::Model& model_;
  smollm3::Pass pass_;
  std::optional<Slice> slice_;
  std::size_t overtaken_by_ = 0;
  std::vector<Part> parts_;
  Gone gone_;
};

}  // namespace engine
