// Decides what the next step computes: continuous batching, in which requests join and leave at every step. Pure: no
// thread, no model, no clock. The same arguments give the same step.
//
// A step has two parts. First everybody who writes gets a row of one batch, and so its next token. Then the time that
// is left goes to prompts: a slice of up to 512 rows, of one prompt or several, which is taken through the layers as
// far as the time allows, and on from there in the steps that follow (layered prefill). So a prompt is read at the
// speed of full batches, whatever its share of the time, and nobody who writes waits for longer than a step. A slice
// that is on its way is finished before another begins, unless that is of a client that was given less.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "compute/compute.h"
#include "engine/batch_cost.h"

namespace engine {

// A generation that is under way, as the scheduler sees it. They are listed in the order in which they were asked for.
struct Runnable {
  std::size_t computed = 0;  // positions whose keys and values are there
  std::size_t unread = 0;    // tokens that come after them; at least 1
  std::size_t run = 0;       // of those, from the first on, that are computed in the same precision; a slice's at most
  compute::Precision precision = compute::Precision::Exact;  // that of the first unread token
  bool writing = false;       // somebody waits for its next token; else its prompt is read
  bool waits = false;         // for another one that reads the same
  std::uint32_t client = 0;   // who asked
  double served = 0;          // tokens that its client was given so far, as of FairShare
  bool in_slice = false;      // it has a part in a slice that is on its way
  std::uint64_t sat_out = 0;  // steps in a row in which it wrote nothing
};

// A request that waits to be begun, or to be begun again. They too are listed in the order in which they were asked
// for.
struct Candidate {
  std::uint32_t client = 0;
  double served = 0;  // tokens that its client was given so far, as of FairShare
  double cost = 0;    // tokens that its client will be charged when it is begun
};

struct Budget {
  double seconds = 0.25;              // of a step in which somebody writes
  std::size_t rows = 512;             // of a batch: what the device takes at once
  std::uint32_t layers = 36;          // of the model
  std::size_t least_prompt_rows = 8;  // of a slice, if the prompts have as many
  std::size_t deep = 16384;           // rows beyond this position may sit out steps
  bool may_overtake = false;          // another slice may be begun before the one on its way is finished
};

// What batches cost: those of rows that write, and slices of prompts.
struct StepCost {
  BatchCost writing, reading;
};

struct Share {
  std::size_t runnable;  // its index
  std::size_t rows;
};

// A slice that was begun.
struct Slice {
  BatchWork work;
  std::uint32_t layers_left = 0;
};

struct Step {
  std::vector<Share> writers;
  BatchWork writers_work;
  std::vector<Share> slice;        // to be begun, all of one precision; empty if one is on its way, or nobody reads
  bool overtakes = false;          // it is begun though one is on its way, which waits until this one is finished
  BatchWork slice_work;            // of the slice, whichever it is
  std::uint32_t layers = 0;        // through which the slice is taken, if they take no longer than foreseen
  std::uint32_t least_layers = 0;  // through which it is taken in any case
  double layer_seconds = 0;        // of one, as foreseen

  bool empty() const { return writers.empty() && layers == 0; }
};

class Scheduler {
 public:
  // The order in which those that wait are to be begun, as indices: each time the first of the client that was given
  // the fewest tokens.
  static std::vector<std::size_t> order(std::span<const Candidate> waiting);

  // What to compute. Everybody who writes gets a row, but those so deep that the step would become too long; these take
  // turns. So do the rows of a client that has many, where another one's prompt would else get less than half of the
  // time that it would get beside one row of each. A quarter of a slice is for the oldest prompt, the rest for the
  // client that was given the fewest tokens, and then for others. Of a client's part half goes to its oldest prompt,
  // and half to those that are soonest done, so that a short question does not wait for a long document, nor the
  // document for ever. `slice`: the one that is on its way.
  static Step plan(std::span<const Runnable> running, const std::optional<Slice>& slice, const Budget& budget,
                   const StepCost& cost);
};

}  // namespace engine
