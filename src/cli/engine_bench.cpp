#include "cli/engine_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>

#include "base/error.h"
#include "cli/answer.h"
#include "cli/output.h"
#include "cli/random_weights.h"
#include "engine/engine.h"

namespace cli {
namespace {

using nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

base::Error failed(const engine::Journal& journal) {
  const engine::Done done = journal.wait_for_end();
  return done.error ? *done.error : base::Error(base::ErrorKind::Internal, "bench", "an answer ended too early");
}

// Somebody who asks once, on a thread of his own, and notes when each token came.
class Asker {
 public:
  explicit Asker(std::shared_ptr<engine::Generation> generation)
      : generation_(std::move(generation)), asked_(Clock::now()), thread_([this] { follow(); }) {}
  ~Asker() {
    generation_->cancel();
    if (thread_.joinable()) thread_.join();
  }
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;

  engine::Generation& generation() { return *generation_; }
  void wait() {
    if (thread_.joinable()) thread_.join();
  }
  void wait_for_tokens(std::uint32_t count) const {
    engine::Journal::Place place;
    while (generation_->journal().progress().generated_tokens < count && !generation_->journal().over()) {
      place = generation_->journal().read(place).next;
      generation_->journal().wait_for_more(place, std::chrono::seconds(1));
    }
  }

  // After wait().
  Clock::time_point asked() const { return asked_; }
  const std::vector<Clock::time_point>& tokens() const { return tokens_; }
  Clock::time_point end() const { return end_; }
  Clock::time_point first_token() const {
    if (tokens_.empty()) throw failed(generation_->journal());
    return tokens_.front();
  }
  double to_first_token() const { return seconds(first_token() - asked_); }
  double largest_gap(Clock::time_point from, Clock::time_point to) const {
    Clock::duration gap{};
    for (std::size_t i = 1; i < tokens_.size(); ++i) {
      if (tokens_[i] >= from && tokens_[i - 1] <= to) gap = std::max(gap, tokens_[i] - tokens_[i - 1]);
    }
    return seconds(gap);
  }

 private:
  void follow() {
    const engine::Journal& journal = generation_->journal();
    for (engine::Journal::Place place;;) {
      if (!journal.wait_for_more(place, std::chrono::seconds(1))) continue;
      const auto now = Clock::now();
      const engine::Journal::Reading reading = journal.read(place);
      place = reading.next;
      while (tokens_.size() < reading.progress.generated_tokens) tokens_.push_back(now);
      if (!reading.over) continue;
      end_ = now;
      return;
    }
  }

  std::shared_ptr<engine::Generation> generation_;
  Clock::time_point asked_;
  std::vector<Clock::time_point> tokens_;
  Clock::time_point end_;
  std::thread thread_;
};

using Askers = std::vector<std::unique_ptr<Asker>>;

class Bench {
 public:
  Bench(engine::Engine& engine, const EngineBenchOptions& options) : engine_(engine), options_(options), random_(1) {}

  ordered_json run() {
    ask(16, 4)->wait();  // reads all weights once
    ordered_json report = {{"prompt", options_.prompt}, {"generated", options_.generated}};
    for (const std::uint32_t count : options_.askers) {
      report["together"].push_back(together(count, "at once", [] { return 0.0; }));
    }
    const std::uint32_t most = std::ranges::max(options_.askers);
    if (most > 1) {
      // Between two who join, a time that is on average an eighth of what one takes alone.
      const double gap = report["together"][0]["seconds"].get<double>() / 8;
      report["together"].push_back(together(most, "joining", [this, gap] {
        return -gap * std::log(1 - static_cast<double>(random_.next() >> 11) * 0x1p-53);
      }));
    }
    report["long_prompt_joins"] = long_prompt_joins();
    report["short_question"] = short_question();
    report["another_client"] = {{"prompt", options_.prompt},
                                {"first_token_beside_1_seconds", beside_another_client(1)},
                                {"first_token_beside_15_seconds", beside_another_client(15)}};
    report["cancel"] = cancel();
    report["finish_thinking_seconds"] = finish_thinking();
    return report;
  }

 private:
  std::unique_ptr<Asker> ask(std::uint32_t prompt, std::uint32_t generated, bool thinks = false,
                             const char* client = "") {
    engine::Request request;
    request.asker.client = client;
    if (thinks) request.chat = smollm3::StreamStart::Thinking;
    for (std::uint32_t i = 0; i < prompt; ++i) {
      request.prompt.push_back(static_cast<engine::Token>(random_.next() % engine_.config().vocab));
    }
    request.sampling.seed = random_.next();
    for (const engine::Token token : engine_.tokenizer().end_tokens()) request.sampling.logit_bias[token] = -1000;
    request.limits.max_tokens = generated;
    return std::make_unique<Asker>(engine_.start(std::move(request)));
  }

  ordered_json together(std::uint32_t count, const char* how, const std::function<double()>& pause) {
    Askers askers;
    for (std::uint32_t i = 0; i < count; ++i) {
      if (i > 0) std::this_thread::sleep_for(std::chrono::duration<double>(pause()));
      askers.push_back(ask(options_.prompt, options_.generated));
    }
    for (const auto& asker : askers) asker->wait();
    Clock::time_point all_write{}, first_end = Clock::time_point::max(), last_end{};
    double first_tokens = 0;
    for (const auto& asker : askers) {
      all_write = std::max(all_write, asker->first_token());
      first_end = std::min(first_end, asker->end());
      last_end = std::max(last_end, asker->end());
      first_tokens += asker->to_first_token();
    }
    double decoded = 0;  // while all write
    for (const auto& asker : askers) {
      decoded += static_cast<double>(std::ranges::count_if(
          asker->tokens(), [&](Clock::time_point time) { return time > all_write && time <= first_end; }));
    }
    const double total = seconds(last_end - askers.front()->asked());
    const double decoding = seconds(first_end - all_write);
    return {{"askers", count},
            {"how", how},
            {"seconds", total},
            {"tokens_per_second", static_cast<double>(count) * options_.generated / total},
            {"decoding_seconds", decoding},
            {"decoding_tokens_per_second", decoding > 0 ? decoded / decoding : 0},
            {"mean_first_token_seconds", first_tokens / count}};
  }

  ordered_json long_prompt_joins() {
    const auto alone = ask(options_.long_prompt, 1);
    alone->wait();
    Askers writers;
    for (int i = 0; i < 4; ++i) writers.push_back(ask(64, 100'000));
    for (const auto& writer : writers) writer->wait_for_tokens(4);
    const auto joins = ask(options_.long_prompt, 1);
    joins->wait();
    for (const auto& writer : writers) writer->generation().cancel();
    double gap = 0;
    for (const auto& writer : writers) {
      writer->wait();
      gap = std::max(gap, writer->largest_gap(joins->asked(), joins->end()));
    }
    return {{"prompt", options_.long_prompt},
            {"writers", writers.size()},
            {"largest_gap_seconds", gap},
            {"reading_seconds", joins->to_first_token()},
            {"reading_alone_seconds", alone->to_first_token()},
            {"speed_share", alone->to_first_token() / joins->to_first_token()}};
  }

  ordered_json short_question() {
    const auto alone = ask(32, 1);
    alone->wait();
    const auto writer = ask(64, 100'000);
    writer->wait_for_tokens(4);
    const auto beside = ask(32, 1);
    beside->wait();
    return {{"prompt", 32},
            {"first_token_alone_seconds", alone->to_first_token()},
            {"first_token_beside_seconds", beside->to_first_token()}};
  }

  // First token of a prompt beside so many requests of another client, half of which are answered when it comes and
  // half of which come with it.
  double beside_another_client(std::uint32_t count) {
    Askers of_another;
    const auto come = [&](std::uint32_t until) {
      while (of_another.size() < until) of_another.push_back(ask(options_.prompt, 100'000, false, "another"));
    };
    come((count + 1) / 2);
    for (const auto& asker : of_another) asker->wait_for_tokens(4);
    come(count);
    const auto one = ask(options_.prompt, 1, false, "one");
    one->wait();
    return one->to_first_token();
  }

  // From cancel() to the end that a reader sees.
  ordered_json cancel() {
    const auto measure = [](Asker& asker) {
      const auto asked = Clock::now();
      asker.generation().cancel();
      asker.wait();
      return seconds(asker.end() - asked);
    };
    const auto reads = ask(options_.long_prompt, 1);
    while (reads->generation().state() == engine::State::Queued) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    const double reading = measure(*reads);
    const auto writes = ask(64, 100'000);
    writes->wait_for_tokens(4);
    const auto joins = ask(options_.long_prompt, 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    const double reading_beside = measure(*joins);
    return {{"reading_seconds", reading},
            {"reading_beside_a_writer_seconds", reading_beside},
            {"writing_seconds", measure(*writes)}};
  }

  // From finish_thinking(), beside a prompt that is read, to the first text of the answer.
  double finish_thinking() {
    const auto thinks = ask(64, 100'000, /*thinks=*/true);
    thinks->wait_for_tokens(4);
    const auto joins = ask(options_.long_prompt, 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    const engine::Journal& journal = thinks->generation().journal();
    const auto asked = Clock::now();
    thinks->generation().finish_thinking();
    for (engine::Journal::Place place;;) {
      const engine::Journal::Reading reading = journal.read(place);
      const auto answers = [](const engine::Event& event) {
        return std::holds_alternative<engine::Answer>(event.what);
      };
      if (std::ranges::any_of(reading.events, answers)) return seconds(Clock::now() - asked);
      if (reading.over) throw failed(journal);
      place = reading.next;
      journal.wait_for_more(place, std::chrono::seconds(1));
    }
  }

  engine::Engine& engine_;
  const EngineBenchOptions& options_;
  FastRandom random_;
};

void show(const ordered_json& report) {
  Output& out = standard_output();
  out.write(fmt::format("{:<10} {:<8} {:>9} {:>10} {:>16} {:>18}\n", "askers", "", "seconds", "tokens/s",
                        "while all write", "mean first token"));
  for (const ordered_json& row : report["together"]) {
    out.write(fmt::format("{:<10} {:<8} {:>9.1f} {:>10.2f} {:>16.2f} {:>16.2f} s\n", row["askers"].get<int>(),
                          row["how"].get<std::string>(), row["seconds"].get<double>(),
                          row["tokens_per_second"].get<double>(), row["decoding_tokens_per_second"].get<double>(),
                          row["mean_first_token_seconds"].get<double>()));
  }
  const ordered_json& joins = report["long_prompt_joins"];
  out.write(fmt::format(
      "\n{} write, a prompt of {} joins: largest gap {:.0f} ms; read in {:.1f} s, alone in {:.1f} s\n",
      joins["writers"].get<int>(), joins["prompt"].get<int>(), 1000 * joins["largest_gap_seconds"].get<double>(),
      joins["reading_seconds"].get<double>(), joins["reading_alone_seconds"].get<double>()));
  const ordered_json& question = report["short_question"];
  out.write(fmt::format("first token of a question of {}: {:.0f} ms alone, {:.0f} ms beside an answer\n",
                        question["prompt"].get<int>(), 1000 * question["first_token_alone_seconds"].get<double>(),
                        1000 * question["first_token_beside_seconds"].get<double>()));
  const ordered_json& client = report["another_client"];
  out.write(
      fmt::format("first token of a prompt of {}: {:.1f} s beside one request of another client, {:.1f} s beside 15\n",
                  client["prompt"].get<int>(), client["first_token_beside_1_seconds"].get<double>(),
                  client["first_token_beside_15_seconds"].get<double>()));
  const ordered_json& cancel = report["cancel"];
  out.write(fmt::format(
      "cancelled in {:.0f} ms while a prompt is read, in {:.0f} ms beside an answer, in {:.0f} ms "
      "while an answer is written\n",
      1000 * cancel["reading_seconds"].get<double>(), 1000 * cancel["reading_beside_a_writer_seconds"].get<double>(),
      1000 * cancel["writing_seconds"].get<double>()));
  out.write(fmt::format("thinking finished, beside a prompt that is read, and the answer begun in {:.0f} ms\n",
                        1000 * report["finish_thinking_seconds"].get<double>()));
}

}  // namespace

int bench_engine(const EngineBenchOptions& options, bool json, const Globals& globals) {
  const auto engine = load_engine(globals, {.step = std::chrono::milliseconds(options.step_ms)});
  const ordered_json report = Bench(*engine, options).run();
  if (json)
    standard_output().write(report.dump(2) + "\n");
  else
    show(report);
  return 0;
}

}  // namespace cli
