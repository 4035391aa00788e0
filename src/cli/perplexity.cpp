#include "cli/perplexity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <new>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "cli/format.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/model_choice.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "compute/compute.h"
#include "smollm3/model.h"
#include "smollm3/tokenizer.h"

namespace cli {
namespace {

using smollm3::Token;

constexpr Token no_token = -1;
constexpr std::size_t default_chunk = 512;
constexpr std::size_t least_chunk = 4;  // of whose tokens one is foreseen

struct Options {
  std::string file;
  bool json = false;
};

// Negative log-likelihoods of the tokens so far.
class Score {
 public:
  void add(double nll) {
    sum_ += nll;
    squares_ += nll * nll;
    ++count_;
  }

  std::uint64_t count() const { return count_; }
  double mean() const { return sum_ / static_cast<double>(count_); }
  double perplexity() const { return std::exp(mean()); }

  // Of the perplexity, to first order: the mean's standard error times the perplexity. None for a single token.
  std::optional<double> standard_error() const {
    if (count_ < 2) return std::nullopt;
    const double variance = squares_ / static_cast<double>(count_) - mean() * mean();
    return std::sqrt(std::max(0.0, variance) / static_cast<double>(count_ - 1)) * perplexity();
  }

 private:
  double sum_ = 0;
  double squares_ = 0;
  std::uint64_t count_ = 0;
};

// -ln of the probability that softmax gives to `token`.
double negative_log_likelihood(std::span<const float> logits, Token token) {
  const double largest = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double{logit} - largest);
  return largest + std::log(sum) - double{logits[static_cast<std::size_t>(token)]};
}

class Chunks {
 public:
  Chunks(smollm3::Model& model, compute::Precision precision, std::size_t size, const compute::FreeMemory& free)
      : model_(model),
        precision_(precision),
        size_(size),
        pool_(model.device(), model.kv_shape(quant::Type::F16), size, free),
        sequence_(pool_) {}

  // Runs the tokens of one chunk through the model, from an empty context, and scores those of the second half: all
  // that follow the token in its middle.
  void run(std::span<const Token> tokens, Score& score) {
    sequence_.truncate(0);
    if (!sequence_.reserve(size_)) throw std::bad_alloc();
    const std::size_t middle = size_ / 2;
    const std::size_t batch = model_.max_batch();
    for (std::size_t at = 0; at < middle; at += batch) forward(tokens.subspan(at, std::min(batch, middle - at)), false);
    for (std::size_t at = middle; at + 1 < size_; at += rows) {
      const std::size_t count = std::min(rows, size_ - 1 - at);
      const std::span<const float> logits = forward(tokens.subspan(at, count), true);
      const std::size_t vocabulary = logits.size() / count;
      for (std::size_t i = 0; i < count; ++i) {
        score.add(negative_log_likelihood(logits.subspan(i * vocabulary, vocabulary), tokens[at + i + 1]));
      }
    }
  }

 private:
  static constexpr std::size_t rows = 128;  // of logits in memory: 66 MB with the real vocabulary

  std::span<const float> forward(std::span<const Token> tokens, bool logits) {
    using Logits = smollm3::Chunk::Logits;
    const smollm3::Chunk chunk{.sequence = &sequence_,
                               .tokens = tokens,
                               .logits = logits ? Logits::All : Logits::None,
                               .precision = precision_};
    return model_.logits({&chunk, 1});
  }

  smollm3::Model& model_;
  compute::Precision precision_;
  std::size_t size_;
  smollm3::PagePool pool_;
  smollm3::Sequence sequence_;
};

void report(const Score& score, std::size_t chunks, std::size_t size, const std::string& mode, bool json) {
  const std::optional<double> error = score.standard_error();
  if (!json) {
    const std::string beside = error ? fmt::format(" ± {:.4f}", *error) : "";
    standard_output().write(fmt::format("perplexity {:.4f}{}  ({} tokens in {} chunks of {}, {})\n", score.perplexity(),
                                        beside, grouped(score.count()), grouped(chunks), grouped(size), mode));
    return;
  }
  nlohmann::ordered_json out = {{"perplexity", score.perplexity()},
                                {"standard_error", nullptr},
                                {"nll", score.mean()},
                                {"tokens", score.count()},
                                {"chunks", chunks},
                                {"chunk_tokens", size},
                                {"mode", mode}};
  if (error) out["standard_error"] = *error;
  standard_output().write(out.dump() + "\n");
}

int perplexity(const Options& options, const Globals& globals) {
  const std::size_t size = globals.context > 0 ? globals.context : default_chunk;
  if (size < least_chunk) throw UsageError(fmt::format("--ctx: a chunk has at least {} tokens here", least_chunk));
  const std::string text = read_file(options.file);
  const auto loaded = load_model(globals);
  const smollm3::Tokenizer& tokenizer = loaded->tokenizer();
  const Token bos = tokenizer.bos().value_or(no_token);
  const bool with_bos = tokenizer.add_bos() && bos != no_token;
  std::vector<Token> tokens = tokenizer.encode(text);
  if (with_bos) tokens.insert(tokens.begin(), bos);
  const std::size_t chunks = tokens.size() / size;
  if (chunks == 0) {
    throw base::Error(options.file, fmt::format("has {} tokens, less than one chunk of {}", tokens.size(), size),
                      "take a longer text, or shorter chunks with --ctx");
  }
  smollm3::Model& model = loaded->model();
  compute::Device& device = loaded->device();
  const InterruptGuard guard(InterruptGuard::Second::EndsTheProgram);
  const compute::Precision precision = compute::prompt_precision(device, globals.exact);
  Chunks runner(model, precision, size, device.free_memory(loaded->file().size()));
  Score score;
  Progress progress(chunks, globals.quiet);
  const auto show = [&](std::size_t done) {
    const std::string so_far = done > 0 ? fmt::format(", perplexity {:.2f}", score.perplexity()) : "";
    progress.show(done, fmt::format("{} of {}{}", done, chunks, so_far));
  };
  show(0);
  for (std::size_t i = 0; i < chunks; ++i) {
    const std::span<Token> chunk = std::span(tokens).subspan(i * size, size);
    if (with_bos) chunk.front() = bos;
    runner.run(chunk, score);
    if (interrupted()) return exit_interrupted;
    show(i + 1);
  }
  progress.clear();
  report(score, chunks, size, compute::mode(device, precision), options.json);
  return 0;
}

}  // namespace

void add_perplexity(CommandLine& line) {
  auto options = std::make_shared<Options>();
  const Globals& globals = line.globals();
  Command command = line.add("Measuring", "perplexity", "Measure how well the model foresees a text",
                             [options, &globals] { return perplexity(*options, globals); });
  command.argument("FILE", "The text", options->file).required();
  command.flag("--json",
               "{\"perplexity\", \"standard_error\", \"nll\", \"tokens\", \"chunks\", \"chunk_tokens\", "
               "\"mode\"}",
               options->json);
  command.notes(
      "The text becomes tokens, with the BOS in front if the model's file asks for one (add_bos_token),\n"
      "and these are cut into chunks of N tokens, N as --ctx says (default: 512); what is left at the end\n"
      "is not used. Each chunk is run on its own; its first token becomes the BOS if the file asks for\n"
      "one. Tokens N/2 + 1 to N - 1 of a chunk are scored (counted from 0, N/2 rounded down), each given\n"
      "all that precede it in the chunk. The perplexity is exp of the mean of -ln p over all scored\n"
      "tokens, the nll. Its standard error is perplexity × sqrt((mean of squares - square of mean) /\n"
      "(scored tokens - 1)). This is the convention of llama.cpp's perplexity tool. Names of special\n"
      "tokens in the text are plain text. Where prompts have a fast mode, it is what is\n"
      "measured, and said; --exact measures the other.\n"
      "\n"
      "Example:\n"
      "  smollm3 --model SmolLM3-Q4_K_M.gguf perplexity wiki.test.raw");
}

}  // namespace cli
