#include "cli/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <filesystem>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/resources.h"
#include "base/thread_pool.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/pending_file.h"
#include "cli/progress.h"
#include "cli/recipe.h"
#include "gguf/gguf.h"
#include "gguf/split.h"
#include "gguf/writer.h"
#include "quant/decode.h"
#include "quant/encode.h"
#include "smollm3/config.h"
#include "smollm3/weights.h"

namespace cli {
namespace {

using quant::Type;

const std::vector<std::string> types = {"Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0"};

struct Options {
  std::string in;
  std::string out;
  std::string type;
};

struct Planned {
  const gguf::Tensor* tensor;
  Type type;

  Type from() const { return static_cast<Type>(tensor->type); }
  std::size_t columns() const { return static_cast<std::size_t>(tensor->shape[0]); }
  std::size_t rows() const { return static_cast<std::size_t>(tensor->elements()) / columns(); }
  std::size_t bytes() const { return type_bytes(type, columns()) * rows(); }
};

bool is_float(Type type) { return type == Type::F32 || type == Type::F16 || type == Type::BF16; }

void check_is_float(const gguf::File& file) {
  for (const gguf::Tensor& tensor : file.tensors()) {
    const auto type = static_cast<Type>(tensor.type);
    if (is_float(type)) continue;
    const auto info = quant::type_info(type);
    throw base::Error(file.name(),
                      fmt::format("is quantised already: tensor {} is of type {}", printable(tensor.name),
                                  info ? std::string(info->name) : std::to_string(tensor.type)),
                      "quantise the F32, F16 or BF16 file that it was made from");
  }
}

// The recipe's type, or the next better one whose blocks fit into the rows.
Type fitting(Type type, std::size_t columns) {
  if (columns % quant::type_info(type).value().block == 0) return type;
  return columns % quant::type_info(Type::Q8_0).value().block == 0 ? Type::Q8_0 : Type::F32;
}

std::vector<Planned> plan(const gguf::File& file, const Recipe& recipe, std::uint32_t layers) {
  const bool own_output = file.tensor("output.weight") != nullptr;
  std::vector<Planned> tensors;
  for (const gguf::Tensor& tensor : file.tensors()) {
    const bool vector = tensor.shape.size() == 1;
    const Type type = vector ? Type::F32 : matrix_type(recipe, tensor.name, layers, own_output);
    tensors.push_back({&tensor, fitting(type, static_cast<std::size_t>(tensor.shape[0]))});
  }
  return tensors;
}

// As in the source, but for what describes the types, and how the source's tensors lay in their files.
void write_metadata(gguf::Writer& writer, const gguf::File& file, const Recipe& recipe) {
  for (const gguf::Entry& entry : file.metadata()) {
    const bool own = entry.key == "general.file_type" || entry.key == "general.quantization_version" ||
                     entry.key == "general.alignment" || entry.key.starts_with("split.");
    if (!own) writer.add(entry);
  }
  writer.add("general.file_type", recipe.file_type);
  writer.add("general.quantization_version", std::uint32_t{2});
}

// Rows of tensors from one type to another, on all threads.
class Converter {
 public:
  Converter(const gguf::File& file, int threads) : file_(file), pool_(threads), rows_(threads) {}

  // `count` rows from `first` on; throws base::Error naming the tensor if it holds what the type cannot.
  std::span<const std::byte> convert(const Planned& planned, std::size_t first, std::size_t count) {
    const std::size_t columns = planned.columns();
    const std::size_t in_bytes = type_bytes(planned.from(), columns);
    const std::size_t out_bytes = type_bytes(planned.type, columns);
    out_.resize(count * out_bytes);
    for (std::vector<float>& row : rows_) row.resize(columns);
    std::mutex mutex;
    std::size_t failed = std::numeric_limits<std::size_t>::max();
    std::optional<base::Error> failure;  // of the first row that failed
    pool_.run(static_cast<int>(count), [&](int part, int thread) {
      const auto i = static_cast<std::size_t>(part);
      const std::span<float> row = rows_[static_cast<std::size_t>(thread)];
      try {
        quant::decode(planned.from(), planned.tensor->room.subspan((first + i) * in_bytes, in_bytes), row);
        check_finite(row);
        quant::encode(planned.type, row, std::span(out_).subspan(i * out_bytes, out_bytes));
      } catch (const base::Error& error) {
        const std::lock_guard lock(mutex);
        if (i >= failed) return;
        failed = i;
        failure =
            base::Error(error.kind(), file_.name(),
                        fmt::format("tensor {}, row {}, {}", printable(planned.tensor->name), first + i, error.why()),
                        error.remedy());
      }
    });
    if (failure) throw base::Error(*failure);
    return out_;
  }

 private:
  static void check_finite(std::span<const float> row) {
    const auto wrong = std::ranges::find_if_not(row, [](float v) { return std::isfinite(v); });
    if (wrong == row.end()) return;
    throw base::Error(
        "tensor",
        fmt::format("holds {} in column {}", std::isnan(*wrong) ? "NaN" : "an infinite number", wrong - row.begin()),
        "convert the model again, or repair it");
  }

  const gguf::File& file_;
  base::ThreadPool pool_;
  std::vector<std::vector<float>> rows_;  // of each thread
  std::vector<std::byte> out_;
};

struct Interrupted {};

void write_tensors(gguf::Writer& writer, Converter& converter, std::span<const Planned> tensors, Progress& progress) {
  std::uint64_t elements = 0;  // so far
  for (const Planned& planned : tensors) {
    const std::string name = printable(planned.tensor->name);
    constexpr std::size_t at_once = 1 << 22;  // elements
    const std::size_t step = std::max<std::size_t>(1, at_once / planned.columns());
    for (std::size_t row = 0; row < planned.rows(); row += step) {
      if (interrupted()) throw Interrupted{};
      progress.show(elements, name);
      const std::size_t count = std::min(step, planned.rows() - row);
      writer.write(converter.convert(planned, row, count));
      elements += count * planned.columns();
      progress.show(elements, name);
    }
  }
}

std::uint64_t parameters(const gguf::File& file) {
  std::uint64_t count = 0;
  for (const gguf::Tensor& tensor : file.tensors()) count += tensor.elements();
  return count;
}

void write_model(const Options& options, const gguf::File& file, std::span<const Planned> tensors, int threads,
                 Progress& progress) {
  PendingFile pending(options.out);
  gguf::Writer writer;
  write_metadata(writer, file, recipes().at(options.type));
  for (const Planned& planned : tensors) {
    writer.add_tensor(planned.tensor->name, static_cast<std::uint32_t>(planned.type), planned.tensor->shape,
                      planned.bytes());
  }
  try {
    writer.open(pending.path());
    Converter converter(file, threads);
    write_tensors(writer, converter, tensors, progress);
    writer.close();
  } catch (const base::Error& error) {
    // The hidden name would tell nobody anything.
    if (error.subject() != pending.path().string()) throw;
    throw base::Error(error.kind(), options.out, error.why(), error.remedy());
  }
  if (interrupted()) throw Interrupted{};
  pending.commit();
}

int quantize(const Options& options, const Globals& globals) {
  const gguf::File file = gguf::open_model(options.in);
  std::error_code ignored;
  for (const std::string& path : file.paths()) {
    if (std::filesystem::equivalent(options.out, path, ignored)) throw UsageError("IN and OUT are the same file");
  }
  check_is_float(file);
  const auto config = smollm3::Config::read(file);
  smollm3::Weights::read(file, config);  // nothing missing, unknown or of another shape
  const std::vector<Planned> tensors = plan(file, recipes().at(options.type), config.layers);

  const InterruptGuard guard(InterruptGuard::Second::IsNoted, {SIGINT, SIGTERM, SIGHUP});
  const std::uint64_t count = parameters(file);
  Progress progress(count, globals.quiet);
  try {
    write_model(options, file, tensors, globals.threads > 0 ? globals.threads : base::usable_processors(), progress);
  } catch (const Interrupted&) {
    return exit_interrupted;
  }
  progress.clear();
  if (globals.quiet) return 0;
  const std::uint64_t bytes = std::filesystem::file_size(options.out, ignored);
  write_error(
      dim(2, fmt::format("{}: {} from {}, {:.2f} bits a weight, in {}\n", printable(options.out), byte_size(bytes),
                         byte_size(file.size()), 8.0 * static_cast<double>(bytes) / static_cast<double>(count),
                         duration(progress.seconds()))));
  return 0;
}

}  // namespace

void add_quantize(CommandLine& line) {
  auto options = std::make_shared<Options>();
  const Globals& globals = line.globals();
  Command command = line.add("Models", "quantize", "Make a small, fast model file of a float one",
                             [options, &globals] { return quantize(*options, globals); });
  command.argument("IN", "A GGUF file of SmolLM3 whose tensors are F32, F16 or BF16", options->in).required();
  command.argument("OUT", "The file to write; one of that name is replaced once the new one is complete", options->out)
      .required();
  command.option("--type", "TYPE", "Q4_K_M, Q5_K_M, Q6_K or Q8_0", options->type).required().one_of(types);
  command.notes(
      "The types are those that llama.cpp's recipes of the same names choose: norms stay F32; Q4_K_M and\n"
      "Q5_K_M have Q6_K for the embedding, as it is the output head too, and for attn_v and ffn_down in the\n"
      "first and last eighth of the layers and every third between. Scales are searched for the least\n"
      "squared error of the weights; no calibration text is used. Metadata is carried over.\n"
      "\n"
      "Example:\n"
      "  smollm3 quantize SmolLM3-3B-BF16.gguf SmolLM3-3B-Q4_K_M.gguf --type Q4_K_M");
}

}  // namespace cli
