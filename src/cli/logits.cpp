#include "cli/logits.h"

#include <fmt/format.h>
#include <unistd.h>
#include <filesystem>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <new>

#include "base/error.h"
#include "cli/format.h"
#include "cli/input.h"
#include "cli/model_choice.h"
#include "cli/output.h"
#include "compute/compute.h"
#include "smollm3/model.h"

namespace cli {
namespace {

struct Options {
  std::string tokens;
  std::string out;
  std::string kv = "f16";
  std::uint32_t chunk = 128;  // rows of logits in memory: 66 MB with the real vocabulary
};

static_assert(std::endian::native == std::endian::little, "logits are written as they lie in memory");

void check(std::ofstream& file, const std::string& path) {
  if (!file)
    throw base::Error(base::kind_of_errno(errno), path, std::string("cannot be written: ") + std::strerror(errno),
                      "check the path and the free space");
}

std::vector<smollm3::Token> read_tokens(const std::string& argument) {
  if (argument == "-") return parse_tokens(read_standard_input());
  try {
    return parse_tokens(argument);
  } catch (const base::Error& error) {
    throw UsageError("--tokens: " + error.why());
  }
}

int logits(const Options& options, const Globals& globals) {
  const std::vector<smollm3::Token> tokens = read_tokens(options.tokens);
  if (tokens.empty()) throw UsageError("--tokens: there are none");
  const auto loaded = load_model(globals);
  smollm3::Model& model = loaded->model();
  compute::Device& device = loaded->device();
  for (const smollm3::Token token : tokens) {
    if (static_cast<std::uint32_t>(token) < model.config().vocab) continue;
    throw base::Error("token ids", fmt::format("the vocabulary has no token {}", token),
                      fmt::format("use ids below {}", model.config().vocab));
  }
  if (tokens.size() > model.config().context) {
    throw base::Error(
        "token ids",
        fmt::format("there are {} and the model was made for {} positions", tokens.size(), model.config().context),
        "give fewer, or raise --ctx");
  }
  const quant::Type kv_type = options.kv == "f32" ? quant::Type::F32 : quant::Type::F16;
  smollm3::PagePool pool(device, model.kv_shape(kv_type), tokens.size(), device.free_memory(loaded->file().size()));
  smollm3::Sequence sequence(pool);
  if (!sequence.reserve(tokens.size())) throw std::bad_alloc();

  std::error_code ignored;
  if (std::filesystem::equivalent(options.out, loaded->file().name(), ignored)) {
    throw base::Error(options.out, "is the model that is to be read", "give --out another name");
  }
  errno = 0;
  std::ofstream out(options.out, std::ios::binary | std::ios::trunc);
  check(out, options.out);
  const std::span<const smollm3::Token> all(tokens);
  const compute::Precision precision = compute::prompt_precision(device, globals.exact);
  for (std::size_t at = 0; at < all.size(); at += options.chunk) {
    const smollm3::Chunk chunk{.sequence = &sequence,
                               .tokens = all.subspan(at, std::min<std::size_t>(options.chunk, all.size() - at)),
                               .logits = smollm3::Chunk::Logits::All,
                               .precision = precision};
    const std::span<const float> rows = model.logits({&chunk, 1});
    out.write(reinterpret_cast<const char*>(rows.data()), static_cast<std::streamsize>(rows.size_bytes()));
    check(out, options.out);
  }
  out.close();
  check(out, options.out);
  if (globals.quiet) return 0;
  write_error(dim(STDERR_FILENO, fmt::format("{}: {} × {} logits, {}\n", printable(options.out), grouped(tokens.size()),
                                             grouped(model.config().vocab), compute::mode(device, precision))));
  return 0;
}

}  // namespace

void add_logits(CommandLine& line) {
  auto options = std::make_shared<Options>();
  const Globals& globals = line.globals();
  Command command = line.add("Measuring", "logits", "Write the logits that follow each of given tokens",
                             [options, &globals] { return logits(*options, globals); });
  command.option("--tokens", "IDS", "Token ids separated by commas; - reads them from standard input", options->tokens)
      .required();
  command.option("--out", "FILE", "Receives tokens × vocabulary float32 numbers, little-endian", options->out)
      .required();
  command.option("--kv", "f16|f32", "Numbers the keys and values are kept as (default: f16)", options->kv)
      .one_of({"f16", "f32"});
  command
      .option("--chunk", "N", "Tokens computed at a time; the results do not depend on it (default: 128)",
              options->chunk)
      .between(1, 512);
  command.notes(
      "Where prompts have a fast mode, the logits are those of it; --exact gives the other's. A line on\n"
      "standard error says which they are.\n"
      "\n"
      "Example:\n"
      "  smollm3 logits --tokens 1,2,3 --out logits.f32");
}

}  // namespace cli
