#include "engine/scheduler.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace engine {
namespace {

// Who sat out so many steps in a row has a row in the next one; but one of them in each.
constexpr std::uint64_t most_sat_out = 8;
// Of the budget: what is predicted may be wrong by the rest.
constexpr double safety = 0.9;

// A step that is being put together.
class Plan {
 public:
  Plan(std::span<const Runnable> running, const Budget& budget, const StepCost& cost)
      : running_(running), budget_(budget), cost_(cost) {}

  // Rows that a batch still has room for.
  std::size_t room(compute::Precision precision) const {
    const std::size_t exact = step_.work.exact.rows, fast = step_.work.fast.rows;
    if (!budget_.two_modes) return budget_.rows - exact - fast;
    return budget_.rows - (precision == compute::Precision::Fast ? fast : exact);
  }

  double seconds_with(std::size_t i, std::size_t rows) const {
    StepWork work = step_.work;
    work.add(precision(i), rows, running_[i].computed);
    return cost_.seconds(work);
  }

  void give(std::size_t i, std::size_t rows) {
    rows = std::min({rows, running_[i].run, room(precision(i))});
    if (rows == 0) return;
    step_.work.add(precision(i), rows, running_[i].computed);
    step_.shares.push_back({i, rows});
  }

  bool empty() const { return step_.shares.empty(); }
  double seconds() const { return cost_.seconds(step_.work); }
  Step take() { return std::move(step_); }

 private:
  compute::Precision precision(std::size_t i) const {
    return budget_.two_modes ? running_[i].precision : compute::Precision::Exact;
  }

  std::span<const Runnable> running_;
  const Budget& budget_;
  const StepCost& cost_;
  Step step_;
};

// The writers' rows. Of those that are deep, the one that sat out longest comes first, and in time even if it does not
// fit.
void add_writers(Plan& plan, std::span<const Runnable> running, const Budget& budget) {
  std::vector<std::size_t> deep;
  for (std::size_t i = 0; i < running.size(); ++i) {
    if (!running[i].writing) continue;
    if (running[i].computed > budget.deep) {
      deep.push_back(i);
    } else {
      plan.give(i, running[i].unread);
    }
  }
  std::ranges::stable_sort(deep, std::greater{}, [&](std::size_t i) { return running[i].sat_out; });
  bool must = !deep.empty() && (plan.empty() || running[deep.front()].sat_out >= most_sat_out);
  for (const std::size_t i : deep) {
    const bool fits = plan.seconds_with(i, running[i].unread) <= budget.seconds * safety;
    if (fits || std::exchange(must, false)) plan.give(i, running[i].unread);
  }
}

// The prompts' shares of `rows`: of the oldest, and of the one that is soonest done.
void add_prompts(Plan& plan, std::span<const Runnable> running, std::span<const std::size_t> prompts,
                 std::size_t rows) {
  const std::size_t oldest = prompts.front();
  const std::size_t shortest = *std::ranges::min_element(prompts, {}, [&](std::size_t i) { return running[i].unread; });
  std::vector<std::size_t> order(prompts.begin(), prompts.end());
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return running[i].unread; });
  std::size_t for_oldest = oldest == shortest ? 0 : std::min(rows / 2, running[oldest].run);
  std::size_t left = rows - for_oldest;
  for (const std::size_t i : order) {
    if (i == oldest && for_oldest > 0) continue;
    const std::size_t share = std::min(left, running[i].run);
    if (share == 0) continue;
    plan.give(i, share);
    left -= share;
  }
  if (for_oldest > 0) plan.give(oldest, for_oldest + left);
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

Step Scheduler::plan(std::span<const Runnable> running, const Budget& budget, const StepCost& cost) {
  Plan plan(running, budget, cost);
  add_writers(plan, running, budget);
  std::vector<std::size_t> prompts;
  for (std::size_t i = 0; i < running.size(); ++i) {
    if (!running[i].writing) prompts.push_back(i);
  }
  if (prompts.empty()) return plan.take();

  std::size_t rows = budget.rows;
  if (!plan.empty()) {
    // The most rows that fit into the time, in units that the kernels like; not more than twice as many as were tried.
    const std::size_t unit = budget.least_prompt_rows;
    std::size_t fitting = 1, too_many = std::max(2 * last_prompt_rows_ / unit, std::size_t{1}) + 1;
    while (too_many - fitting > 1) {
      const std::size_t middle = (fitting + too_many) / 2;
      Plan trial = plan;
      add_prompts(trial, running, prompts, middle * unit);
      (trial.seconds() <= budget.seconds * safety ? fitting : too_many) = middle;
    }
    rows = std::min(fitting * unit, budget.rows);
    last_prompt_rows_ = rows;
  }
  add_prompts(plan, running, prompts, rows);
  return plan.take();
}

}  // namespace engine
