#include "engine/scheduler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

namespace engine {
namespace {

// Who sat out so many steps in a row has a row in the next one; but one of them in each.
constexpr std::uint64_t most_sat_out = 8;

// The writers' rows. Of those that are deep, the one that sat out longest comes first, and in time even if it does not
// fit.
void add_writers(Step& step, std::span<const Runnable> running, const Budget& budget, const BatchCost& cost) {
  const auto give = [&](std::size_t i) {
    const std::size_t rows = std::min(running[i].unread, budget.rows - step.writers_work.rows);
    if (rows < running[i].unread) return;
    step.writers.push_back({i, rows});
    step.writers_work.add(rows, running[i].computed);
  };
  std::vector<std::size_t> deep;
  for (std::size_t i = 0; i < running.size(); ++i) {
    if (!running[i].writing) continue;
    if (running[i].computed > budget.deep) {
      deep.push_back(i);
    } else {
      give(i);
    }
  }
  std::ranges::stable_sort(deep, std::greater{}, [&](std::size_t i) { return running[i].sat_out; });
  for (const std::size_t i : deep) {
    BatchWork with = step.writers_work;
    with.add(running[i].unread, running[i].computed);
    const bool must = i == deep.front() && (step.writers.empty() || running[i].sat_out >= most_sat_out);
    if (must || cost.seconds(with) <= budget.seconds) give(i);
  }
}

// A slice of at most `rows` rows, in the order of its shares: those soonest done, and the oldest.
std::vector<Share> cut_slice(std::span<const Runnable> running, std::size_t rows) {
  std::vector<std::size_t> order, waiting;
  for (std::size_t i = 0; i < running.size(); ++i) {
    if (!running[i].writing) (running[i].waits ? waiting : order).push_back(i);
  }
  if (order.empty()) order = std::move(waiting);  // whom they waited for has gone
  if (order.empty()) return {};
  const std::size_t oldest = order.front();
  std::erase_if(order, [&](std::size_t i) { return running[i].precision != running[oldest].precision; });
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return running[i].unread; });
  std::size_t for_oldest = order.front() == oldest ? 0 : std::min(rows / 2, running[oldest].run);
  std::size_t left = rows - for_oldest;
  std::vector<Share> slice;
  for (const std::size_t i : order) {
    if (i == oldest && for_oldest > 0) continue;
    const std::size_t share = std::min(left, running[i].run);
    if (share > 0) slice.push_back({i, share});
    left -= share;
  }
  if (for_oldest > 0) slice.push_back({oldest, std::min(for_oldest + left, running[oldest].run)});
  return slice;
}

BatchWork work_of(std::span<const Share> shares, std::span<const Runnable> running) {
  BatchWork work;
  for (const Share& share : shares) work.add(share.rows, running[share.runnable].computed);
  return work;
}

}  // namespace

std::size_t Scheduler::admit(std::span<const Candidate> waiting, std::size_t running, const Budget& budget) {
  std::size_t free = budget.free_pages;
  std::size_t count = 0;
  while (count < waiting.size() && running + count < budget.most_running && waiting[count].pages <= free) {
    free -= waiting[count++].pages;
  }
  return count;
}

Step Scheduler::plan(std::span<const Runnable> running, const std::optional<Slice>& slice, const Budget& budget,
                     const StepCost& cost) {
  Step step;
  add_writers(step, running, budget, cost.writing);
  const double layers = budget.layers;
  const double left = budget.seconds - cost.writing.seconds(step.writers_work);
  const auto layer_seconds = [&] { return cost.reading.seconds(step.slice_work) / layers; };
  if (slice) {
    step.slice_work = slice->work;
  } else {
    // Beside writers a slice is so small that a layer of it fits into what is left of the step, or a quarter of it.
    for (std::size_t rows = budget.rows;; rows /= 2) {
      step.slice = cut_slice(running, rows);
      step.slice_work = work_of(step.slice, running);
      const bool fits = layer_seconds() <= std::max(left, budget.seconds / 4);
      if (step.writers.empty() || fits || rows / 2 < budget.least_prompt_rows) break;
    }
  }
  const std::uint32_t all = slice ? slice->layers_left : step.slice.empty() ? 0 : budget.layers;
  step.layers = step.least_layers = all;
  step.layer_seconds = layer_seconds();
  if (!step.writers.empty() && all > 0) {
    // In the long run, as many layers as if each step computed so many rows of all.
    const double least = std::ceil(static_cast<double>(budget.least_prompt_rows) * layers /
                                   static_cast<double>(std::max(step.slice_work.rows, budget.least_prompt_rows)));
    step.least_layers = static_cast<std::uint32_t>(std::min<double>(least, all));
    step.layers = static_cast<std::uint32_t>(std::clamp(left / step.layer_seconds, 1.0 * step.least_layers, 1.0 * all));
  }
  return step;
}

}  // namespace engine
