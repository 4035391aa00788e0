#include "cli/memory_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "cli/answer.h"
#include "cli/format.h"
#include "cli/model_choice.h"
#include "cli/output.h"
#include "cli/random_weights.h"
#include "engine/engine.h"

namespace cli {
namespace {

using engine::Clock;
using nlohmann::ordered_json;
using Asked = std::shared_ptr<engine::Generation>;

std::string text_of(const engine::Journal& journal) {
  std::string text;
  for (const engine::Event& event : journal.read({}).events) {
    if (const auto* answer = std::get_if<engine::Answer>(&event.what)) text += answer->text;
  }
  return text;
}

class Bench {
 public:
  Bench(engine::Engine& engine, const MemoryBenchOptions& options) : engine_(engine), options_(options), random_(1) {}

  ordered_json run() { return {{"second_turn", second_turn()}, {"regenerated", regenerated()}, {"alike", alike()}}; }

 private:
  std::vector<engine::Token> tokens(std::uint32_t count) {
    std::vector<engine::Token> tokens;
    for (; count > 0; --count) {
      tokens.push_back(static_cast<engine::Token>(random_.next() % engine_.config().vocab));
    }
    return tokens;
  }

  engine::Request request(std::vector<engine::Token> prompt, std::uint32_t generated, std::uint64_t seed) const {
    engine::Request request{.prompt = std::move(prompt)};
    request.sampling.seed = seed;
    for (const engine::Token token : engine_.tokenizer().end_tokens()) request.sampling.logit_bias[token] = -1000;
    request.limits.max_tokens = generated;
    return request;
  }

  static engine::Usage end_of(const Asked& asked) {
    const engine::Done done = asked->journal().wait_for_end();
    if (done.error) throw *done.error;
    return done.usage;
  }
  static std::uint32_t computed(const engine::Usage& usage) { return usage.prompt_tokens - usage.cached_tokens; }

  ordered_json second_turn() {
    const std::uint32_t answer = options_.turn / 8;
    const Asked first = engine_.start(request(tokens(options_.turn - answer), answer, 1));
    end_of(first);
    const auto before = first->take_transcript();
    const std::vector<engine::Token> question = tokens(32);
    engine::Request next = request({before->tokens().begin(), before->tokens().end()}, 1, 2);
    next.generated.assign(before->generated().begin(), before->generated().end());
    next.prompt.insert(next.prompt.end(), question.begin(), question.end());
    const engine::Usage usage = end_of(engine_.start(std::move(next)));
    return {{"first_turn", before->size()},
            {"new", question.size()},
            {"computed", computed(usage)},
            {"computed_again", computed(usage) - question.size()},
            {"first_token_seconds", usage.prompt_seconds}};
  }

  ordered_json regenerated() {
    const std::vector<engine::Token> prompt = tokens(options_.regenerated);
    std::uint32_t at_once = 0, later = 0;
    std::vector<Asked> asked;
    for (std::uint64_t seed = 1; seed <= 4; ++seed) asked.push_back(engine_.start(request(prompt, 8, seed)));
    for (const Asked& one : asked) at_once += computed(end_of(one));
    for (std::uint64_t seed = 5; seed <= 8; ++seed) later += computed(end_of(engine_.start(request(prompt, 8, seed))));
    return {{"prompt", prompt.size()}, {"computed_for_four_at_once", at_once}, {"computed_for_four_more", later}};
  }

  ordered_json alike() {
    const std::vector<engine::Token> system = tokens(options_.system);
    std::vector<std::vector<engine::Token>> prompts;
    std::vector<Asked> asked;
    const auto start = Clock::now();
    for (std::uint32_t i = 0; i < options_.conversations; ++i) {
      prompts.push_back(system);
      const std::vector<engine::Token> own = tokens(options_.prompt - options_.system);
      prompts.back().insert(prompts.back().end(), own.begin(), own.end());
      asked.push_back(engine_.start(request(prompts.back(), options_.generated, i)));
    }
    std::uint64_t all = 0, known = 0;
    for (const Asked& one : asked) {
      const engine::Usage usage = end_of(one);
      all += usage.prompt_tokens;
      known += usage.cached_tokens;
    }
    const double seconds = engine::seconds(Clock::now() - start);
    // Some of them again, under accounts of their own, which share nothing.
    const std::uint32_t step = std::max<std::uint32_t>(1, options_.conversations / 4);
    int compared = 0;
    for (std::uint32_t i = 0; i < options_.conversations; i += step, ++compared) {
      engine::Request alone = request(prompts[i], options_.generated, i);
      alone.asker.account = std::to_string(i);
      const Asked cold = engine_.start(std::move(alone));
      if (end_of(cold).cached_tokens != 0 || text_of(cold->journal()) != text_of(asked[i]->journal())) {
        throw base::Error(base::ErrorKind::Internal, "bench", "an answer is another one than alone");
      }
    }
    return {{"conversations", asked.size()}, {"prompt", options_.prompt},
            {"alike", options_.system},      {"hit_rate", static_cast<double>(known) / static_cast<double>(all)},
            {"computed", all - known},       {"seconds", seconds},
            {"compared", compared}};
  }

  engine::Engine& engine_;
  const MemoryBenchOptions& options_;
  FastRandom random_;
};

void show(const ordered_json& report, std::uint64_t positions) {
  const auto number = [](const ordered_json& value) { return grouped(value.get<std::uint64_t>()); };
  Output& out = standard_output();
  out.write(fmt::format("memory for {} positions\n", grouped(positions)));
  const ordered_json& turn = report["second_turn"];
  out.write(fmt::format("second turn after {} tokens: {} new ones, {} computed again; first token after {:.2f} s\n",
                        number(turn["first_turn"]), number(turn["new"]), number(turn["computed_again"]),
                        turn["first_token_seconds"].get<double>()));
  const ordered_json& again = report["regenerated"];
  out.write(fmt::format("a prompt of {} answered by four at once: {} tokens computed; four times more: {}\n",
                        number(again["prompt"]), number(again["computed_for_four_at_once"]),
                        number(again["computed_for_four_more"])));
  const ordered_json& alike = report["alike"];
  out.write(fmt::format(
      "{} conversations of {} tokens, {} of them the same: {:.1f} % known, {} computed, {:.1f} s; {} compared with "
      "themselves alone\n",
      number(alike["conversations"]), number(alike["prompt"]), number(alike["alike"]),
      100 * alike["hit_rate"].get<double>(), number(alike["computed"]), alike["seconds"].get<double>(),
      number(alike["compared"])));
}

}  // namespace

int bench_memory(const MemoryBenchOptions& options, bool json, const Globals& globals) {
  Globals chosen = globals;
  if (chosen.context == 0) chosen.context = std::max(options.turn + 128, options.regenerated + 128);
  if (!chosen.kv_memory) {
    const gguf::File file = open_model(chosen);
    const smollm3::Config config = smollm3::Config::read(file);
    const compute::KvShape shape{.layers = config.layers, .kv_heads = config.kv_heads, .head_size = config.head_size};
    const std::uint64_t each = smollm3::pages_for(options.prompt + options.generated);
    const std::uint64_t third = each * options.conversations / 3;
    chosen.kv_memory = std::max(third, smollm3::pages_for(chosen.context)) * shape.page_bytes();
  }
  const auto engine = load_engine(chosen, {});
  const ordered_json report = Bench(*engine, options).run();
  if (json)
    standard_output().write(report.dump(2) + "\n");
  else
    show(report, engine->kv_positions());
  return 0;
}

}  // namespace cli
