#include "cli/synth.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <span>

#include "base/error.h"
#include "base/resources.h"
#include "base/thread_pool.h"
#include "cli/byte_vocabulary.h"
#include "cli/format.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/random_weights.h"
#include "cli/recipe.h"
#include "gguf/gguf.h"
#include "gguf/writer.h"
#include "quant/encode.h"

namespace cli {
namespace {

using quant::Type;

struct Shape {
  std::uint32_t layers;
  std::uint32_t hidden;
  std::uint32_t ffn;
  std::uint32_t heads;
  std::uint32_t kv_heads;
  std::uint32_t vocab;  // if none is copied
};

const std::map<std::string, Shape> shapes = {
    {"3b", {36, 2048, 11008, 16, 4, 128256}},
    {"tiny", {8, 512, 1024, 4, 1, 128256}},
    {"micro", {4, 256, 512, 4, 2, 512}},
};

struct Options {
  std::string shape = "3b";
  std::string out;
  std::string vocabulary;
  std::string chat_template;
  std::string type = "Q4_K_M";
  std::optional<std::uint64_t> seed;
  std::uint32_t layers = 0;  // 0: the shape's
  float yarn = 1;
};

constexpr std::uint32_t trained_context = 65536;

void write_architecture(gguf::Writer& writer, const Options& options, const Shape& shape, std::size_t vocab) {
  const std::uint32_t head_size = shape.hidden / shape.heads;
  writer.add("general.architecture", "smollm3");
  writer.add("general.name", fmt::format("SmolLM3 {} random", options.shape));
  writer.add("general.file_type", recipes().at(options.type).file_type);
  writer.add("general.quantization_version", std::uint32_t{2});
  writer.add("smollm3.block_count", shape.layers);
  writer.add("smollm3.context_length", static_cast<std::uint32_t>(trained_context * options.yarn));
  writer.add("smollm3.embedding_length", shape.hidden);
  writer.add("smollm3.feed_forward_length", shape.ffn);
  writer.add("smollm3.attention.head_count", shape.heads);
  writer.add("smollm3.attention.head_count_kv", shape.kv_heads);
  writer.add("smollm3.rope.freq_base", 5'000'000.0f);
  writer.add("smollm3.attention.layer_norm_rms_epsilon", 1e-6f);
  writer.add("smollm3.vocab_size", static_cast<std::uint32_t>(vocab));
  writer.add("smollm3.rope.dimension_count", head_size);
  if (options.yarn > 1) {
    writer.add("smollm3.rope.scaling.type", "yarn");
    writer.add("smollm3.rope.scaling.factor", options.yarn);
    writer.add("smollm3.rope.scaling.original_context_length", trained_context);
  }
}

void write_built_in_vocabulary(gguf::Writer& writer, std::size_t size) {
  const Vocabulary vocabulary = byte_vocabulary(size);
  writer.add("tokenizer.ggml.model", "gpt2");
  writer.add("tokenizer.ggml.pre", "smaug-bpe");
  writer.add("tokenizer.ggml.tokens", vocabulary.tokens);
  writer.add("tokenizer.ggml.token_type", vocabulary.kinds);
  writer.add("tokenizer.ggml.merges", std::span<const std::string>());
  writer.add("tokenizer.ggml.bos_token_id", begin_of_text(size));
  writer.add("tokenizer.ggml.eos_token_id", im_end(size));
  writer.add("tokenizer.ggml.padding_token_id", padding_token(size));
  writer.add("tokenizer.ggml.add_bos_token", false);
}

// A vocabulary that lacks SmolLM3's markers is that of Llama 3, in whose reserved tokens SmolLM3 has them.
void copy_vocabulary(gguf::Writer& writer, const gguf::File& file) {
  Vocabulary vocabulary;
  for (const std::string_view token : file.array("tokenizer.ggml.tokens").strings())
    vocabulary.tokens.emplace_back(token);
  const gguf::Array& kinds = file.array("tokenizer.ggml.token_type");
  if (kinds.count != vocabulary.tokens.size()) {
    throw base::Error(file.name(), "its tokens and their types differ in number", "name another file to --vocab");
  }
  for (std::uint64_t i = 0; i < kinds.count; ++i)
    vocabulary.kinds.push_back(static_cast<std::int32_t>(kinds.integer(i)));
  const bool complete = std::ranges::find(vocabulary.tokens, "<|im_end|>") != vocabulary.tokens.end();
  if (!complete && !name_special_tokens(vocabulary)) {
    throw base::Error(file.name(), "its vocabulary has no room for SmolLM3's special tokens",
                      "name another file to --vocab");
  }
  const std::size_t size = vocabulary.tokens.size();
  for (const gguf::Entry& entry : file.metadata()) {
    if (!entry.key.starts_with("tokenizer.") || entry.key == "tokenizer.chat_template") continue;
    if (entry.key == "tokenizer.ggml.tokens")
      writer.add(entry.key, vocabulary.tokens);
    else if (entry.key == "tokenizer.ggml.token_type")
      writer.add(entry.key, vocabulary.kinds);
    else if (complete)
      writer.add(entry);
    else if (entry.key == "tokenizer.ggml.pre")
      writer.add(entry.key, "smaug-bpe");
    else if (entry.key == "tokenizer.ggml.model" || entry.key == "tokenizer.ggml.merges")
      writer.add(entry);
  }
  if (complete) return;
  writer.add("tokenizer.ggml.bos_token_id", begin_of_text(size));
  writer.add("tokenizer.ggml.eos_token_id", im_end(size));
  writer.add("tokenizer.ggml.padding_token_id", padding_token(size));
  writer.add("tokenizer.ggml.add_bos_token", false);
}

struct Planned {
  std::string name;
  Type type;
  std::uint64_t columns;
  std::uint64_t rows;  // 0: a vector
  float spread;
};

std::vector<Planned> plan(const Shape& shape, const Recipe& recipe, std::size_t vocab) {
  const std::uint32_t head_size = shape.hidden / shape.heads;
  const std::uint32_t kv_size = shape.kv_heads * head_size;
  // Spreads that keep activations and logits of a shape of any width where the real model's are.
  const float width = std::sqrt(2048.0f / static_cast<float>(shape.hidden));
  const float weight = 0.02f * width;
  std::vector<Planned> tensors = {{"token_embd.weight", recipe.output, shape.hidden, vocab, 0.03f * width},
                                  {"output_norm.weight", Type::F32, shape.hidden, 0, 0}};
  for (std::uint32_t layer = 0; layer < shape.layers; ++layer) {
    const std::string block = fmt::format("blk.{}.", layer);
    const auto add = [&](const char* name, std::uint64_t columns, std::uint64_t rows) {
      const std::string whole = block + name;
      const Type type = rows == 0 ? Type::F32 : matrix_type(recipe, whole, shape.layers, false);
      tensors.push_back({whole, type, columns, rows, rows == 0 ? 0 : weight});
    };
    add("attn_norm.weight", shape.hidden, 0);
    add("ffn_norm.weight", shape.hidden, 0);
    add("attn_q.weight", shape.hidden, shape.hidden);
    add("attn_k.weight", shape.hidden, kv_size);
    add("attn_v.weight", shape.hidden, kv_size);
    add("attn_output.weight", shape.hidden, shape.hidden);
    add("ffn_gate.weight", shape.hidden, shape.ffn);
    add("ffn_up.weight", shape.hidden, shape.ffn);
    add("ffn_down.weight", shape.ffn, shape.hidden);
  }
  return tensors;
}

std::uint64_t planned_bytes(const Planned& tensor) {
  return type_bytes(tensor.type, tensor.columns) * std::max<std::uint64_t>(tensor.rows, 1);
}

void write_tensors(gguf::Writer& writer, std::span<const Planned> tensors, std::uint64_t seed) {
  base::ThreadPool pool(base::usable_processors());
  RandomWeights weights(seed, pool);
  FastRandom gains(seed);
  std::vector<std::byte> buffer;
  for (const Planned& tensor : tensors) {
    if (tensor.rows == 0) {
      std::vector<float> gain(tensor.columns);
      std::ranges::generate(gain, [&] { return 0.8f + 0.4f * gains.uniform(); });
      writer.write(std::as_bytes(std::span(gain)));
      continue;
    }
    const std::uint64_t piece = type_bytes(tensor.type, RandomWeights::piece_elements);
    constexpr std::uint64_t buffer_bytes = 16 << 20;
    for (std::uint64_t left = planned_bytes(tensor); left > 0; left -= buffer.size()) {
      buffer.resize(static_cast<std::size_t>(std::min(left, buffer_bytes / piece * piece)));
      weights.fill(tensor.type, tensor.spread, buffer);
      writer.write(buffer);
    }
  }
}

void write_model(const Options& options) {
  Shape shape = shapes.at(options.shape);
  if (options.layers > 0) shape.layers = options.layers;
  std::optional<gguf::File> source;
  if (!options.vocabulary.empty()) source = gguf::File::open(options.vocabulary);
  // Writing over the file that the vocabulary is read from would cut it off under us.
  std::error_code ignored;
  if (source && std::filesystem::equivalent(options.vocabulary, options.out, ignored)) {
    throw UsageError("--vocab and --out are the same file");
  }
  const std::size_t vocab = source ? source->array("tokenizer.ggml.tokens").count : shape.vocab;

  gguf::Writer writer;
  write_architecture(writer, options, shape, vocab);
  if (source)
    copy_vocabulary(writer, *source);
  else
    write_built_in_vocabulary(writer, vocab);
  if (!options.chat_template.empty())
    writer.add("tokenizer.chat_template", read_file(options.chat_template));
  else if (source && source->find("tokenizer.chat_template")) {
    writer.add("tokenizer.chat_template", source->string("tokenizer.chat_template"));
  }
  const std::vector<Planned> tensors = plan(shape, recipes().at(options.type), vocab);
  for (const Planned& tensor : tensors) {
    std::vector<std::uint64_t> dimensions = {tensor.columns};
    if (tensor.rows > 0) dimensions.push_back(tensor.rows);
    writer.add_tensor(tensor.name, static_cast<std::uint32_t>(tensor.type), dimensions, planned_bytes(tensor));
  }
  writer.open(options.out);
  try {
    write_tensors(writer, tensors, options.seed.value_or(1));
    writer.close();
  } catch (const base::Error&) {
    // Half a model is of no use; a device or pipe named by --out is not ours to remove.
    std::error_code unused;
    if (std::filesystem::is_regular_file(options.out, unused)) std::filesystem::remove(options.out, unused);
    throw;
  }
}

int synth(const Options& options, const Globals& globals) {
  const auto start = std::chrono::steady_clock::now();
  write_model(options);
  if (globals.quiet) return 0;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::error_code ignored;
  const std::uint64_t size = std::filesystem::file_size(options.out, ignored);
  write_error(dim(2, fmt::format("{}: {} of random weights in {}\n", options.out, byte_size(size), duration(seconds))));
  return 0;
}

template <typename T>
std::vector<std::string> names(const std::map<std::string, T>& map) {
  std::vector<std::string> keys;
  keys.reserve(map.size());
  for (const auto& [key, value] : map) keys.push_back(key);
  return keys;
}

}  // namespace

void add_synth(CommandLine& line) {
  auto options = std::make_shared<Options>();
  const Globals& globals = line.globals();
  Command command = line.add("Models", "synth", "Write a random model of the real shape, for benchmarks and tests",
                             [options, &globals] { return synth(*options, globals); });
  command.option("--shape", "3b|tiny|micro", "Size of the model (default: 3b)", options->shape).one_of(names(shapes));
  command.option("--out", "FILE", "The file to write", options->out).required();
  command.option("--vocab", "GGUF", "Copy the vocabulary of this file (default: bytes and made-up words)",
                 options->vocabulary);
  command.option("--template", "FILE", "The chat template to put in", options->chat_template);
  command.option("--type", "TYPE", "F32, F16, BF16, Q8_0, Q4_K_M, Q5_K_M or Q6_K (default: Q4_K_M)", options->type)
      .one_of(names(recipes()));
  command.option("--seed", "N", "Another seed gives another model (default: 1)", options->seed);
  command.option("--layers", "N", "Other than the shape's number of layers", options->layers).between(1, 1000);
  command.option("--yarn", "FACTOR", "Stretch the context by YaRN, as the file's metadata", options->yarn)
      .between(1, 64);
  command.notes(
      "The weights are random, so what the model writes means nothing; its speed and its use of memory\n"
      "are those of a real one.\n"
      "\n"
      "Example:\n"
      "  smollm3 synth --shape 3b --out random.gguf && smollm3 --model random.gguf bench");
}

}  // namespace cli
