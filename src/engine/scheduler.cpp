#include "engine/scheduler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <queue>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace engine {
namespace {

// Who sat out so many steps in a row has a row in the next one; but one of them in each.
constexpr std::uint64_t most_sat_out = 8;

// Seconds that the writers may take, so that a prompt of a client with fewer rows than another one gets half of the
// time that it would get beside one row of each; none if there is no such prompt.
std::optional<double> fair_limit(std::span<const Runnable> running, const Budget& budget, const BatchCost& cost) {
  std::unordered_map<std::uint32_t, std::size_t> rows;  // of each client, that write
  std::size_t most = 0;
  for (const Runnable& one : running) most = std::max(most, rows[one.client] += one.writing ? 1 : 0);
  const bool reads_beside_more = most > 1 && std::ranges::any_of(running, [&](const Runnable& one) {
                                   return !one.writing && !one.waits && rows.at(one.client) < most;
                                 });
  if (!reads_beside_more) return std::nullopt;
  BatchWork one_of_each;
  std::unordered_set<std::uint32_t> counted;
  for (const Runnable& one : running) {
    if (one.writing && counted.insert(one.client).second) one_of_each.add(one.unread, one.computed);
  }
  const double alone = std::min(cost.seconds(one_of_each), budget.seconds);
  return budget.seconds - (budget.seconds - alone) / 2;
}

// The writers' rows. Of those that may sit out, the one that sat out longest comes first, and in time even if it does
// not fit.
void add_writers(Step& step, std::span<const Runnable> running, const Budget& budget, const BatchCost& cost) {
  const auto give = [&](std::size_t i) {
    const std::size_t rows = std::min(running[i].unread, budget.rows - step.writers_work.rows);
    if (rows < running[i].unread) return;
    step.writers.push_back({i, rows});
    step.writers_work.add(rows, running[i].computed);
  };
  std::vector<std::size_t> shallow, deep;
  for (std::size_t i = 0; i < running.size(); ++i) {
    if (running[i].writing) (running[i].computed > budget.deep ? deep : shallow).push_back(i);
  }
  const auto longest_out_first = [&](std::vector<std::size_t>& rows) {
    std::ranges::stable_sort(rows, std::greater{}, [&](std::size_t i) { return running[i].sat_out; });
  };
  const auto give_while_they_fit = [&](std::vector<std::size_t>& rows, double limit) {
    for (const std::size_t i : rows) {
      BatchWork with = step.writers_work;
      with.add(running[i].unread, running[i].computed);
      const bool must = i == rows.front() && (step.writers.empty() || running[i].sat_out >= most_sat_out);
      if (must || cost.seconds(with) <= limit) give(i);
    }
  };
  longest_out_first(deep);
  const std::optional<double> fair = shallow.size() > 1 ? fair_limit(running, budget, cost) : std::nullopt;
  if (fair) {
    longest_out_first(shallow);
    std::unordered_set<std::uint32_t> has_row;
    std::vector<std::size_t> others;
    for (const std::size_t i : shallow) {
      if (has_row.insert(running[i].client).second) {
        give(i);
      } else {
        others.push_back(i);
      }
    }
    give_while_they_fit(others, *fair);
  } else {
    std::ranges::for_each(shallow, give);
  }
  give_while_they_fit(deep, fair.value_or(budget.seconds));
  std::ranges::sort(step.writers, {}, &Share::runnable);
}

// Deals up to `rows` rows to prompts, beside those that they have: half to the first, which is the oldest, and half to
// those that are soonest done. Returns how many it dealt.
std::size_t deal(std::span<const std::size_t> prompts, std::span<const Runnable> running, std::size_t rows,
                 std::vector<std::size_t>& dealt) {
  std::vector<std::size_t> order(prompts.begin(), prompts.end());
  const std::size_t oldest = order.front();
  const auto wanted = [&](std::size_t i) { return running[i].run - dealt[i]; };
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return running[i].unread; });
  const std::size_t for_oldest = order.front() == oldest ? 0 : std::min(rows / 2, wanted(oldest));
  std::size_t left = rows;
  const auto give = [&](std::size_t i, std::size_t most) {
    const std::size_t share = std::min(most, wanted(i));
    dealt[i] += share;
    left -= share;
  };
  give(oldest, for_oldest);
  for (const std::size_t i : order) give(i, left);
  return rows - left;
}

bool may_read(const Runnable& one) { return !one.writing && !one.in_slice; }

// The client that comes before those whose slice is on its way, since it was given no more than any of them; none if
// there is none.
std::optional<std::uint32_t> who_overtakes(std::span<const Runnable> running) {
  double least = std::numeric_limits<double>::infinity();
  std::unordered_set<std::uint32_t> in_slice;
  for (const Runnable& one : running) {
    if (!one.in_slice) continue;
    in_slice.insert(one.client);
    least = std::min(least, one.served);
  }
  const Runnable* first = nullptr;
  for (const Runnable& one : running) {
    if (!may_read(one) || one.waits || in_slice.contains(one.client) || one.served > least) continue;
    if (first == nullptr || one.served < first->served) first = &one;
  }
  if (first == nullptr || in_slice.empty()) return std::nullopt;
  return first->client;
}

// A slice of at most `rows` rows, of all clients or of one.
std::vector<Share> cut_slice(std::span<const Runnable> running, std::size_t rows, std::optional<std::uint32_t> only) {
  std::vector<std::size_t> prompts, waiting;
  for (std::size_t i = 0; i < running.size(); ++i) {
    if (!may_read(running[i]) || (only && running[i].client != *only)) continue;
    (running[i].waits ? waiting : prompts).push_back(i);
  }
  if (prompts.empty()) prompts = std::move(waiting);  // whom they waited for has gone
  if (prompts.empty()) return {};

  std::map<std::uint32_t, std::vector<std::size_t>> of_clients;
  for (const std::size_t i : prompts) of_clients[running[i].client].push_back(i);
  std::vector<std::span<const std::size_t>> clients;
  clients.reserve(of_clients.size());
  for (const auto& [client, its] : of_clients) clients.emplace_back(its);
  // Of two that were given as much, the one that asked first.
  std::ranges::sort(clients, {}, [&](std::span<const std::size_t> its) {
    return std::pair(running[its.front()].served, its.front());
  });

  const compute::Precision precision = running[clients.front().front()].precision;
  std::vector<std::size_t> dealt(running.size());
  std::size_t left = rows;
  // However many come who were given less, the oldest of all is read on.
  const std::size_t oldest = prompts.front();
  if (oldest != clients.front().front() && running[oldest].precision == precision) {
    dealt[oldest] = std::min(rows / 4, running[oldest].run);
    left -= dealt[oldest];
  }
  for (const std::span<const std::size_t> its : clients) {
    std::vector<std::size_t> alike(its.begin(), its.end());
    std::erase_if(alike, [&](std::size_t i) { return running[i].precision != precision; });
    if (!alike.empty()) left -= deal(alike, running, left, dealt);
  }
  std::vector<Share> slice;
  for (const std::size_t i : prompts) {
    if (dealt[i] > 0) slice.push_back({i, dealt[i]});
  }
  return slice;
}

BatchWork work_of(std::span<const Share> shares, std::span<const Runnable> running) {
  BatchWork work;
  for (const Share& share : shares) work.add(share.rows, running[share.runnable].computed);
  return work;
}

}  // namespace

std::vector<std::size_t> Scheduler::order(std::span<const Candidate> waiting) {
  struct Client {
    double served;
    std::vector<std::size_t> its;
    std::size_t next = 0;
  };
  std::map<std::uint32_t, Client> clients;
  for (std::size_t i = 0; i < waiting.size(); ++i) {
    clients.try_emplace(waiting[i].client, Client{waiting[i].served, {}}).first->second.its.push_back(i);
  }
  // The client with the fewest tokens on top; of two that have as many, the one that asked first.
  const auto later = [](const Client* a, const Client* b) {
    return std::pair(a->served, a->its[a->next]) > std::pair(b->served, b->its[b->next]);
  };
  std::priority_queue<Client*, std::vector<Client*>, decltype(later)> queue(later);
  for (auto& [number, client] : clients) queue.push(&client);
  std::vector<std::size_t> order;
  while (!queue.empty()) {
    Client& client = *queue.top();
    queue.pop();
    const std::size_t next = client.its[client.next++];
    order.push_back(next);
    client.served += waiting[next].cost;
    if (client.next < client.its.size()) queue.push(&client);
  }
  return order;
}

Step Scheduler::plan(std::span<const Runnable> running, const std::optional<Slice>& slice, const Budget& budget,
                     const StepCost& cost) {
  Step step;
  add_writers(step, running, budget, cost.writing);
  const double layers = budget.layers;
  const double left = budget.seconds - cost.writing.seconds(step.writers_work);
  const auto layer_seconds = [&] { return cost.reading.seconds(step.slice_work) / layers; };
  const std::optional<std::uint32_t> client = slice && budget.may_overtake ? who_overtakes(running) : std::nullopt;
  step.overtakes = client.has_value();
  const bool goes_on = slice && !step.overtakes;
  if (goes_on) {
    step.slice_work = slice->work;
  } else {
    // Beside writers a slice is so small that a layer of it fits into what is left of the step, or a quarter of it.
    for (std::size_t rows = budget.rows;; rows /= 2) {
      step.slice = cut_slice(running, rows, client);
      step.slice_work = work_of(step.slice, running);
      const bool fits = layer_seconds() <= std::max(left, budget.seconds / 4);
      if (step.writers.empty() || fits || rows / 2 < budget.least_prompt_rows) break;
    }
  }
  const std::uint32_t all = goes_on ? slice->layers_left : step.slice.empty() ? 0 : budget.layers;
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
