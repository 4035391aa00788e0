#include "cli/bench.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "base/error.h"
#include "cli/engine_bench.h"
#include "cli/format.h"
#include "cli/memory_bench.h"
#include "cli/model_choice.h"
#include "cli/output.h"
#include "cli/random_weights.h"
#include "cli/workload.h"
#include "compute/compute.h"
#include "smollm3/model.h"

namespace cli {
namespace {

struct Options {
  std::vector<std::uint32_t> prompts = {512, 2048};
  std::vector<std::uint32_t> generated = {64};
  std::vector<std::uint32_t> depths = {0, 4096};
  std::vector<std::uint32_t> batches = {1, 16};
  std::uint32_t repeat = 3;
  bool json = false;
  bool engine = false;
  EngineBenchOptions of_engine;
  bool memory = false;
  MemoryBenchOptions of_memory;
};

struct Test {
  bool prompt;  // or generation
  std::size_t tokens;
  std::size_t depth;
  std::size_t batch;

  std::string name() const { return fmt::format("{} {}", prompt ? "pp" : "tg", tokens); }
  std::size_t positions() const {
    return batch * ((depth + tokens + compute::page_positions - 1) / compute::page_positions * compute::page_positions);
  }
};

struct Result {
  Test test;
  double tokens_per_second;
  double limit_share;
};

std::vector<Test> list_tests(const Options& options) {
  std::vector<Test> tests;
  for (const std::uint32_t depth : options.depths) {
    for (const std::uint32_t tokens : options.prompts) {
      if (tokens > 0) tests.push_back({true, tokens, depth, 1});
    }
  }
  for (const std::uint32_t depth : options.depths) {
    for (const std::uint32_t batch : options.batches) {
      for (const std::uint32_t tokens : options.generated) {
        if (tokens > 0 && batch > 0) tests.push_back({false, tokens, depth, batch});
      }
    }
  }
  return tests;
}

class Bench {
 public:
  Bench(smollm3::Model& model, std::size_t positions, compute::Precision prompt_precision)
      : model_(model),
        prompt_precision_(prompt_precision),
        pool_(model.device(), model.kv_shape(quant::Type::F16), positions + compute::page_positions, UINT64_MAX),
        known_(pool_) {
    // A page of F16 numbers between -2 and 2.
    std::vector<std::uint64_t> page(kv().page_bytes() / sizeof(std::uint64_t));
    for (std::uint64_t& halves : page) halves = random_.next() & 0xBFFFBFFFBFFFBFFF;
    reserve(known_, compute::page_positions);
    model_.device().write_page(std::as_bytes(std::span(page)), known_.pages().front());
  }

  const compute::KvShape& kv() const { return pool_.shape(); }

  // Reads all weights once, so that no test waits for the disk.
  void warm_up() {
    smollm3::Sequence sequence(pool_);
    make_room(sequence, 1);
    const smollm3::Token token = random_token();
    const smollm3::Chunk chunk{.sequence = &sequence, .tokens = {&token, 1}};
    model_.forward({&chunk, 1});
  }

  // Tokens a second; the median of the repetitions.
  double run(const Test& test, std::uint32_t repeat, const std::function<void(std::uint32_t)>& progress) {
    std::vector<smollm3::Sequence> sequences;
    for (std::size_t i = 0; i < test.batch; ++i) {
      make_room(sequences.emplace_back(pool_), test.depth + test.tokens);
      sequences.back().advance(test.depth);
    }
    std::vector<double> seconds;
    for (std::uint32_t i = 0; i < repeat; ++i) {
      progress(i + 1);
      for (smollm3::Sequence& sequence : sequences) {
        sequence.truncate(test.depth);
        make_room(sequence, test.tokens);
      }
      const auto start = std::chrono::steady_clock::now();
      if (test.prompt)
        process_prompt(sequences.front(), test.tokens);
      else
        generate(sequences, test.tokens);
      seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    std::ranges::sort(seconds);
    const double median = (seconds[seconds.size() / 2] + seconds[(seconds.size() - 1) / 2]) / 2;
    return static_cast<double>(test.tokens * test.batch) / median;
  }

 private:
  smollm3::Token random_token() { return static_cast<smollm3::Token>(random_.next() % model_.config().vocab); }

  // Reserves positions and fills their pages with random numbers: what is known of a prompt is not computed, since how
  // fast its keys and values are read does not depend on what they are.
  void make_room(smollm3::Sequence& sequence, std::size_t positions) {
    const std::size_t before = sequence.pages().size();
    reserve(sequence, positions);
    for (std::byte* page : sequence.pages().subspan(before)) {
      model_.device().copy_page(known_.pages().front(), page, kv().page_bytes());
    }
  }

  static void reserve(smollm3::Sequence& sequence, std::size_t positions) {
    if (!sequence.reserve(positions))
      throw base::Error(base::ErrorKind::Internal, "bench", "the key/value cache is too small", "please report it");
  }

  // As the engine does it: in batches, with the logits of the last token alone.
  void process_prompt(smollm3::Sequence& sequence, std::size_t count) {
    std::vector<smollm3::Token> tokens(count);
    std::ranges::generate(tokens, [this] { return random_token(); });
    for (std::size_t at = 0; at < count; at += model_.max_batch()) {
      const std::size_t size = std::min(count - at, model_.max_batch());
      const auto logits = at + size == count ? smollm3::Chunk::Logits::Last : smollm3::Chunk::Logits::None;
      const smollm3::Chunk chunk{.sequence = &sequence,
                                 .tokens = std::span(tokens).subspan(at, size),
                                 .logits = logits,
                                 .precision = prompt_precision_};
      model_.forward({&chunk, 1});
    }
  }

  void generate(std::span<smollm3::Sequence> sequences, std::size_t count) {
    std::vector<smollm3::Token> tokens(sequences.size());
    std::vector<smollm3::Chunk> chunks;
    for (std::size_t i = 0; i < sequences.size(); ++i)
      chunks.push_back({.sequence = &sequences[i], .tokens = {&tokens[i], 1}});
    for (std::size_t step = 0; step < count; ++step) {
      std::ranges::generate(tokens, [this] { return random_token(); });
      model_.forward(chunks);
    }
  }

  smollm3::Model& model_;
  compute::Precision prompt_precision_;
  smollm3::PagePool pool_;
  FastRandom random_{1};
  smollm3::Sequence known_;  // one page, which the others are copies of
};

// A line on standard error that is written over as work goes on, if somebody watches.
class ProgressLine {
 public:
  explicit ProgressLine(bool quiet) : shown_(!quiet && is_terminal(STDERR_FILENO)) {}
  ~ProgressLine() { clear(); }
  void show(const std::string& text) const {
    if (shown_) write_error("\r\x1b[K" + dim(STDERR_FILENO, text));
  }
  void clear() const {
    if (shown_) write_error("\r\x1b[K");
  }

 private:
  bool shown_;
};

std::string to_json(const std::vector<Result>& results) {
  std::string out = "[";
  const char* separator = "\n  ";
  for (const auto& [test, speed, share] : results) {
    out += fmt::format(
        "{}{{\"test\":\"{}\",\"tokens\":{},\"depth\":{},\"batch\":{},\"tokens_per_second\":{:.4g},\"limit_share\":{:."
        "4g}}}",
        std::exchange(separator, ",\n  "), test.prompt ? "pp" : "tg", test.tokens, test.depth, test.batch, speed,
        share);
  }
  return out + "\n]\n";
}

std::string row(const Result& result) {
  const auto& [test, speed, share] = result;
  return fmt::format("{:<8} {:>8} {:>6} {:>11.{}f} {:>8.1f} %\n", test.name(), grouped(test.depth), test.batch, speed,
                     speed < 100 ? 2 : 0, 100 * share);
}

// The tests that the model's context and the memory have room for; a line says which are left out.
std::vector<Test> keep_possible(std::vector<Test> tests, const smollm3::Model& model, std::uint64_t budget) {
  const compute::KvShape kv = model.kv_shape(quant::Type::F16);
  std::erase_if(tests, [&](const Test& test) {
    const std::uint64_t bytes = (test.positions() / compute::page_positions + 1) * kv.page_bytes();
    const bool too_long = test.depth + test.tokens > model.config().context;
    if (!too_long && bytes <= budget) return false;
    const std::string why =
        too_long ? fmt::format("the model was made for {} positions", grouped(model.config().context))
                 : fmt::format("keys and values would take {} and {} are free", byte_size(bytes), byte_size(budget));
    write_error(fmt::format("Left out: {} at depth {}, batch {}: {}.\n", test.name(), test.depth, test.batch, why));
    return true;
  });
  if (tests.empty()) throw base::Error("bench", "no test is left to run", "ask for shorter ones with -p, -n and -d");
  return tests;
}

// The limits of the device that computes, for one test after the other.
class Limits {
 public:
  Limits(compute::Device& device, std::uint64_t model_bytes)
      : device_(device), model_bytes_(model_bytes), now_(measure()) {}

  const compute::Rates& now() const { return now_; }

  // To be called after a test: what the machine could do before or after it, the better of both. Machines that others
  // share change within seconds, memory by half and more.
  compute::Rates during_test() {
    const compute::Rates before = std::exchange(now_, measure());
    return {.bytes_per_second = std::max(before.bytes_per_second, now_.bytes_per_second),
            .int8_per_second = std::max(before.int8_per_second, now_.int8_per_second),
            .float_per_second = std::max(before.float_per_second, now_.float_per_second),
            .bf16_per_second = std::max(before.bf16_per_second, now_.bf16_per_second),
            .instructions = now_.instructions};
  }

 private:
  compute::Rates measure() { return device_.measure_rates(model_bytes_); }

  compute::Device& device_;
  std::uint64_t model_bytes_;
  compute::Rates now_;
};

std::string describe(const compute::Rates& limits) {
  // A device that has one kind of product for all weights has one rate.
  const std::string products =
      limits.int8_per_second == limits.float_per_second
          ? fmt::format("{:.1f} Tops/s", limits.float_per_second * 1e-12)
          : fmt::format("{:.2f} Tops/s int8, {}{:.2f} float", limits.int8_per_second * 1e-12,
                        limits.bf16_per_second > 0 ? fmt::format("{:.2f} BF16, ", limits.bf16_per_second * 1e-12) : "",
                        limits.float_per_second * 1e-12);
  return fmt::format("limits: reading {:.1f} GB/s · {} ({})", limits.bytes_per_second * 1e-9, products,
                     limits.instructions);
}

int bench(const Options& options, const Globals& globals) {
  if (options.engine) return bench_engine(options.of_engine, options.json, globals);
  if (options.memory) return bench_memory(options.of_memory, options.json, globals);
  std::vector<Test> tests = list_tests(options);
  if (tests.empty()) throw UsageError("there is no test to run");
  const auto loaded = load_model(globals);
  smollm3::Model& model = loaded->model();
  compute::Device& device = loaded->device();
  const ProgressLine progress(globals.quiet);
  progress.show("measuring the machine's limits …");
  Limits limits(device, weight_bytes(model));
  tests = keep_possible(std::move(tests), model, device.free_memory(loaded->file().size()).for_pages());
  progress.clear();
  const compute::Precision precision = compute::prompt_precision(device, globals.exact);
  Output& out = standard_output();
  if (!options.json) {
    out.write(fmt::format("{} · {} of weights · {} · {} threads · {}\n", printable(loaded->name()),
                          byte_size(weight_bytes(model)), device.name(), device.threads(),
                          compute::mode(device, precision)));
    out.write(describe(limits.now()) + "\n\n");
    out.write(fmt::format("{:<8} {:>8} {:>6} {:>11} {:>10}\n", "test", "depth", "batch", "tokens/s", "of limit"));
    out.flush();
  }
  Bench runner(model, std::ranges::max(tests, {}, &Test::positions).positions(), precision);
  runner.warm_up();
  std::vector<Result> results;
  for (const Test& test : tests) {
    const double speed = runner.run(test, options.repeat, [&](std::uint32_t repetition) {
      progress.show(fmt::format("{} at depth {}, batch {}: {} of {} …", test.name(), test.depth, test.batch, repetition,
                                options.repeat));
    });
    progress.show("measuring the machine's limits …");
    const compute::Rates rates = limits.during_test();
    progress.clear();
    const Workload work = test.prompt ? prompt_workload(model, runner.kv(), precision, test.tokens, test.depth)
                                      : decode_workload(model, runner.kv(), test.tokens, test.depth, test.batch);
    const double limit = static_cast<double>(test.tokens * test.batch) / work.least_seconds(rates);
    results.push_back({test, speed, speed / limit});
    if (options.json) continue;
    out.write(row(results.back()));
    out.flush();
  }
  if (options.json) out.write(to_json(results));
  return 0;
}

}  // namespace

void add_bench(CommandLine& line) {
  auto options = std::make_shared<Options>();
  const Globals& globals = line.globals();
  Command command = line.add("Measuring", "bench", "Measure speed, and its share of what the machine could do",
                             [options, &globals] { return bench(*options, globals); });
  command.option("-p", "N,…", "Tokens of a prompt (default: 512,2048; 0: none)", options->prompts);
  command.option("-n", "N,…", "Tokens to generate (default: 64; 0: none)", options->generated);
  command.option("-d", "N,…", "Positions already known before (default: 0,4096)", options->depths);
  command.option("-b", "N,…", "Conversations that generate at the same time (default: 1,16)", options->batches);
  command.option("--repeat", "N", "Runs of each test, of which the median counts (default: 3)", options->repeat)
      .between(1, 1000);
  command.flag("--json",
               "An array of {\"test\", \"tokens\", \"depth\", \"batch\", \"tokens_per_second\", \"limit_share\"}",
               options->json);
  command.flag("--engine", "Measure what askers feel of the engine, many at once, in place of the model alone",
               options->engine);
  command.flag("--memory", "Measure what the engine remembers: what is computed again of what it knows",
               options->memory);
  EngineBenchOptions& of_engine = options->of_engine;
  command.option("--askers", "N,…", "With --engine: who ask at the same time (default: 1,16)", of_engine.askers);
  command.option("--prompt", "N", "With --engine: tokens of each one's prompt (default: 512)", of_engine.prompt)
      .between(1, 1'000'000);
  command.option("--generate", "N", "With --engine: tokens of each answer (default: 128)", of_engine.generated)
      .between(2, 1'000'000);
  command
      .option("--long", "N", "With --engine: tokens of a prompt that joins four who write (default: 2048)",
              of_engine.long_prompt)
      .between(64, 1'000'000);
  command.option("--step-ms", "N", "With --engine: as of serve", of_engine.step_ms).between(1, 60'000);
  command.notes(
      "pp is prompt processing, tg the generation of text. The limit is the least time that the bytes and\n"
      "operations of a test can take at the rates measured right before and after it, the better of the\n"
      "two: reading as many bytes as the model has, int8 dot products for quantised weights, float products\n"
      "for attention and other weights, BF16 ones for attention of prompts in the fast mode (AMX); on a GPU\n"
      "products of halves for all. The first rates are shown above the table. Known positions are filled\n"
      "with random keys and values instead of being computed.\n"
      "\n"
      "Example:\n"
      "  smollm3 --threads 2 bench -p 512 -n 64 -d 0 -b 1,16");
}

}  // namespace cli
