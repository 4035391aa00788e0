// Decides what the next step computes: continuous batching, in which requests join and leave at every step, and slices
// of prompts share steps with rows that generate (chunked prefill). Pure: no thread, no model, no clock. The same
// arguments give the same step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "compute/compute.h"
#include "engine/step_cost.h"

namespace engine {

// A generation that is under way, as the scheduler sees it. They are listed in the order in which they were begun.
struct Runnable {
  std::size_t computed = 0;  // positions whose keys and values are there
  std::size_t unread = 0;    // tokens that come after them; at least 1
  std::size_t run = 0;       // of those, from the first on, that are computed in the same precision
  compute::Precision precision = compute::Precision::Exact;  // that of the first unread token
  bool writing = false;       // somebody waits for its next token; else its prompt is read
  std::uint64_t sat_out = 0;  // steps in a row in which it had no row
};

// A request that waits to be begun, or to be begun again.
struct Candidate {
  std::size_t pages = 0;  // that its tokens so far, and one more, need
};

struct Budget {
  double seconds = 0.25;              // of a step in which somebody writes
  std::size_t rows = 512;             // of one precision in a step: what the device takes at once
  bool two_modes = false;             // exact and fast rows are batches of their own
  std::size_t least_prompt_rows = 8;  // that a prompt gets even where the time does not suffice
  std::size_t deep = 16384;           // rows beyond this position may sit out steps
  std::size_t most_running = 256;
  std::size_t free_pages = 0;  // that no generation under way holds
};

struct Share {
  std::size_t runnable;  // its index
  std::size_t rows;
};

struct Step {
  std::vector<Share> shares;
  StepWork work;
};

class Scheduler {
 public:
  // How many of those that wait are to be begun now, the first ones first.
  static std::size_t admit(std::span<const Candidate> waiting, std::size_t running, const Budget& budget);

  // What to compute. Everybody who writes gets a row, but those so deep that the step would become too long; these take
  // turns. The time that is left is for prompts, as many rows as fit: half for the oldest prompt, and half for the one
  // that is closest to its end, so that a short question does not wait for a long document, nor the document for ever.
  Step plan(std::span<const Runnable> running, const Budget& budget, const StepCost& cost);

 private:
  std::size_t last_prompt_rows_ = 0;  // beside rows that generate
};

}  // namespace engine
