// A device that is this machine's processors.
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/memory.h"
#include "base/resources.h"
#include "base/thread_pool.h"
#include "compute/compute.h"
#include "compute/cpu/activations.h"
#include "compute/cpu/attention.h"
#include "compute/cpu/candidates.h"
#include "compute/cpu/isa.h"
#include "compute/cpu/kernels.h"
#include "compute/cpu/product_table.h"
#include "compute/cpu/ranges.h"
#include "compute/cpu/rates.h"
#include "quant/decode.h"

namespace compute {
namespace cpu {
namespace {

constexpr std::size_t panel_rows = 16;       // weight rows that vector kernels take together
constexpr std::size_t max_part_rows = 64;    // weight rows in a part where many activation rows share them
constexpr std::size_t part_bytes = 1 << 15;  // bytes of weights in a part where few do
constexpr std::size_t parts_per_thread = 16;
constexpr std::size_t tiled_parts_per_thread = 8;

// Left to everything that is not weights, keys and values. The program, its threads and connections take tens of MB
// with any model. The rest grows with the model up to what SmolLM3-3B needs: activations of a batch of 512 rows (60
// MB), logits of 256 who write at the same time (130 MB, twice that while their buffer grows), the tokenizer (20 MB).
std::uint64_t spare_memory(std::uint64_t file_bytes) {
  return 64'000'000 + std::min<std::uint64_t>(file_bytes, 448'000'000);
}

std::size_t round_up(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

void require(bool holds, const char* operation, const std::string& why) {
  if (!holds) throw base::Error(base::ErrorKind::Internal, operation, why);
}

std::size_t row_bytes(const Matrix& w) {
  const auto info = quant::type_info(w.type);
  require(info && can_multiply(w.type), "matrix", "weights of this type cannot be multiplied");
  require(w.cols % 32 == 0 && w.cols % info->block == 0, "matrix",
          "rows of " + std::to_string(w.cols) + " " + std::string(info->name) + " weights are not whole blocks");
  const std::size_t bytes = w.cols / info->block * info->block_bytes;
  require(
      w.data.size() == w.rows * bytes, "matrix",
      std::to_string(w.data.size()) + " bytes are not " + std::to_string(w.rows) + " rows of " + std::to_string(bytes));
  return bytes;
}

// `count` rows of a weight from `first` on, multiplied with one block of activation rows.
void multiply(const Kernels& kernels, const Matrix& w, std::size_t first, std::size_t count, const CpuActivations& x,
              std::size_t block, const Output& out) {
  const std::size_t bytes = w.data.size() / w.rows;
  const WeightRows rows{reinterpret_cast<const std::uint8_t*>(w.data.data()) + first * bytes, bytes, count, w.cols};
  const std::size_t n = x.rows_in(block);
  const ProductKernel kernel = product_for(w.type);
  if (const auto* super = std::get_if<SuperProduct * Kernels::*>(&kernel)) {
    (kernels.**super)(rows, x.super(block), n, out);
  } else if (const auto* small = std::get_if<SmallProduct * Kernels::*>(&kernel)) {
    (kernels.**small)(rows, x.small(block), n, out);
  } else {
    (kernels.*std::get<FloatProduct * Kernels::*>(kernel))(rows, x.values(block * block_rows), n, out);
  }
}

class CpuDevice : public Device {
 public:
  CpuDevice(int threads, const Kernels& kernels)
      : kernels_(kernels),
        pool_(threads),
        ranges_(pool_),
        attention_(kernels_, pool_),
        candidates_(kernels_, pool_),
        scratch_(static_cast<std::size_t>(threads) * 2 * (kernels.exact_product != nullptr ? tiled_rows : block_rows) *
                 max_part_rows),
        tile_scratch_(kernels.exact_product != nullptr ? static_cast<std::size_t>(threads) * tiled_scratch_bytes : 0) {}

  std::string name() const override { return kernels_.name; }
  int threads() const override { return pool_.size(); }
  bool exact() const override { return true; }
  std::size_t batch_rows() const override { return 512; }
  bool has_fast_mode() const override { return kernels_.fast_product != nullptr; }
  void set_precision(Precision precision) override { precision_ = precision; }

  Rates measure_rates(std::uint64_t model_bytes) override {
    if (!rates_) rates_.emplace(pool_, model_bytes);
    return rates_->measure();
  }

  // Weights are used where they lie.
  void prepare(std::span<const Matrix>, std::span<const std::span<const float>>) override {}

  // The file is mapped: its pages are not taken yet, but will be.
  FreeMemory free_memory(std::uint64_t file_bytes) const override {
    return {.found = base::available_memory(), .held_back = file_bytes + spare_memory(file_bytes)};
  }

  // Memory that is never touched is never taken, so many long contexts cost nothing until they are used.
  PageMemory allocate_pages(std::size_t bytes) override {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
      throw base::Error(base::ErrorKind::Resource, "key/value cache",
                        std::string("cannot be reserved: ") + std::strerror(errno), "give less with --kv-memory");
    }
    madvise(memory, bytes, MADV_HUGEPAGE);
    return {static_cast<std::byte*>(memory), [bytes](std::byte* p) { munmap(p, bytes); }};
  }
  void copy_page(const std::byte* from, std::byte* to, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void write_page(std::span<const std::byte> from, std::byte* to) override {
    std::memcpy(to, from.data(), from.size());
  }

  Buffer allocate(std::size_t rows, std::size_t cols) override {
    base::AlignedBuffer<float> floats(rows * cols);
    float* data = floats.data();
    // The release function owns the memory: it is freed with the function.
    auto owner = std::make_shared<base::AlignedBuffer<float>>(std::move(floats));
    return Buffer({data, rows, cols, cols}, [owner = std::move(owner)](float*) {});
  }

  std::unique_ptr<Activations> make_activations(std::size_t rows, std::size_t cols) override {
    return std::make_unique<CpuActivations>(rows, cols);
  }

  std::span<const float> read(View from) override {
    if (from.stride == from.cols || from.rows < 2) return {from.data, from.rows * from.cols};
    read_.resize(from.rows * from.cols);
    for (std::size_t i = 0; i < from.rows; ++i) {
      std::copy_n(from.data + i * from.stride, from.cols, read_.data() + i * from.cols);
    }
    return read_;
  }

  void write(std::span<const float> from, View to) override {
    require(from.size() == to.rows * to.cols, "write", "sizes differ");
    for (std::size_t i = 0; i < to.rows; ++i) {
      std::copy_n(from.data() + i * to.cols, to.cols, to.data + i * to.stride);
    }
  }

  void gather(View x, std::span<const std::size_t> rows, View y) override {
    require(rows.size() == y.rows && x.cols == y.cols, "gather", "shapes differ");
    for (std::size_t i = 0; i < rows.size(); ++i) {
      require(rows[i] < x.rows, "gather", "row " + std::to_string(rows[i]) + " does not exist");
      std::copy_n(x.data + rows[i] * x.stride, x.cols, y.data + i * y.stride);
    }
  }

  void assign(View x, Activations& out) override {
    CpuActivations& to = reset(out, x.rows, x.cols);
    for (std::size_t i = 0; i < x.rows; ++i) std::copy_n(x.data + i * x.stride, x.cols, to.values() + i * x.cols);
  }

  void embed(const Matrix& table, std::span<const std::uint32_t> tokens, View x) override {
    const std::size_t bytes = row_bytes(table);
    require(tokens.size() == x.rows && table.cols == x.cols, "embed", "shapes differ");
    for (const std::uint32_t token : tokens) {
      require(token < table.rows, "embed", "token " + std::to_string(token) + " is not in the vocabulary");
    }
    each_row(x.rows, [&](std::size_t i) {
      quant::decode(table.type, table.data.subspan(tokens[i] * bytes, bytes), {x.data + i * x.stride, x.cols});
    });
  }

  void rms_norm(View x, std::span<const float> gain, float epsilon, Activations& out) override {
    require(gain.size() == x.cols && x.cols % 16 == 0, "rms_norm", "shapes differ");
    CpuActivations& to = reset(out, x.rows, x.cols);
    each_row(x.rows, [&](std::size_t i) {
      kernels_.rms_norm(x.data + i * x.stride, gain.data(), x.cols, epsilon, to.values() + i * x.cols);
    });
  }

  using Device::matmul;
  void matmul(Activations& input, std::span<const Product> products) override {
    auto& x = dynamic_cast<CpuActivations&>(input);
    std::size_t total_bytes = 0;
    std::size_t total_rows = 0;
    for (const Product& product : products) {
      row_bytes(product.weight);
      require(product.weight.cols == x.cols() && product.y.rows == x.rows() && product.y.cols == product.weight.rows,
              "matmul", "shapes differ");
      const TileProduct on_tiles = tile_product(product.weight, x);
      x.make(on_tiles ? on_tiles.form() : form_for(product.weight.type), kernels_, pool_);
      total_bytes += product.weight.data.size();
      total_rows += product.weight.rows;
    }
    // Parts: for each product, groups of rows; for each group, the blocks of activations, so that the group's weights
    // are read from memory once.
    std::vector<Slice> slices;
    std::size_t parts = 0;
    for (const Product& product : products) {
      const TileProduct on_tiles = tile_product(product.weight, x);
      const std::size_t blocks = on_tiles ? x.tiled_blocks() : x.blocks();
      const std::size_t rows =
          on_tiles ? tiled_rows_per_part(total_rows) : rows_per_part(product.weight, x, total_bytes);
      slices.push_back({parts, rows, blocks, on_tiles});
      parts += (product.weight.rows + rows - 1) / rows * blocks;
    }
    ranges_.run(parts, [&](std::size_t part, int thread) {
      std::size_t p = products.size() - 1;
      while (slices[p].first_part > part) --p;
      const Product& product = products[p];
      const Slice& slice = slices[p];
      const std::size_t block = (part - slice.first_part) % slice.blocks;
      const std::size_t first = (part - slice.first_part) / slice.blocks * slice.rows;
      const std::size_t count = std::min(slice.rows, product.weight.rows - first);
      const std::size_t rows = slice.on_tiles ? tiled_rows : block_rows;
      const Output out{product.y.data + block * rows * product.y.stride + first, product.y.stride, product.add};
      if (slice.on_tiles) {
        multiply_on_tiles(slice.on_tiles, product.weight, first, count, x, block, out, thread);
      } else {
        multiply(kernels_, product.weight, first, count, x, block, out);
      }
    });
  }

  void swiglu(Activations& input, const Matrix& gate, const Matrix& up, Activations& hidden) override {
    auto& x = dynamic_cast<CpuActivations&>(input);
    row_bytes(gate);
    row_bytes(up);
    require(gate.cols == x.cols() && up.cols == x.cols() && gate.rows == up.rows && gate.rows % 16 == 0, "swiglu",
            "shapes differ");
    CpuActivations& to = reset(hidden, x.rows(), gate.rows);
    const TileProduct tiled_gate = tile_product(gate, x);
    const TileProduct tiled_up = tile_product(up, x);
    if (tiled_gate && tiled_up) return swiglu_on_tiles(x, gate, tiled_gate, up, tiled_up, to);
    x.make(form_for(gate.type), kernels_, pool_);
    x.make(form_for(up.type), kernels_, pool_);
    const std::size_t rows = std::min(max_part_rows, rows_per_part(gate, x, gate.data.size() + up.data.size()));
    const std::size_t parts = (gate.rows + rows - 1) / rows * x.blocks();
    ranges_.run(parts, [&](std::size_t part, int thread) {
      const std::size_t block = part % x.blocks();
      const std::size_t first = part / x.blocks() * rows;
      const std::size_t count = std::min(rows, gate.rows - first);
      float* gated = &scratch_[static_cast<std::size_t>(thread) * 2 * block_rows * max_part_rows];
      float* linear = gated + block_rows * max_part_rows;
      multiply(kernels_, gate, first, count, x, block, {gated, max_part_rows, false});
      multiply(kernels_, up, first, count, x, block, {linear, max_part_rows, false});
      for (std::size_t a = 0; a < x.rows_in(block); ++a) {
        kernels_.swiglu(gated + a * max_part_rows, linear + a * max_part_rows, count,
                        to.values() + (block * block_rows + a) * gate.rows + first);
      }
    });
  }

  void rope(View x, std::size_t head_size, View cos_sin) override {
    require(head_size % 16 == 0 && head_size != 0 && x.cols % head_size == 0 && cos_sin.rows == x.rows &&
                cos_sin.cols == head_size,
            "rope", "shapes differ");
    each_row(x.rows, [&](std::size_t i) {
      for (std::size_t head = 0; head < x.cols; head += head_size) {
        kernels_.rope(x.data + i * x.stride + head, cos_sin.data + i * cos_sin.stride, head_size);
      }
    });
  }

  void store_kv(const KvShape& shape, std::size_t layer, View k, View v, std::span<const KvRow> rows) override {
    const std::size_t cols = shape.kv_heads * shape.head_size;
    require(k.rows == rows.size() && v.rows == rows.size() && k.cols == cols && v.cols == cols, "store_kv",
            "shapes differ");
    check(shape, layer, rows, "store_kv");
    each_row(rows.size(), [&](std::size_t i) {
      std::byte* page = rows[i].pages[rows[i].position / page_positions];
      const std::size_t slot = rows[i].position % page_positions;
      for (std::size_t head = 0; head < shape.kv_heads; ++head) {
        const float* key = k.data + i * k.stride + head * shape.head_size;
        const float* value = v.data + i * v.stride + head * shape.head_size;
        std::byte* keys = page + shape.key_offset(layer, head);
        std::byte* values = page + shape.value_offset(layer, head);
        if (shape.type == quant::Type::F32) {
          store(std::span(key, shape.head_size), std::span(value, shape.head_size), slot, keys, values);
        } else {
          std::uint16_t halves[2 * max_head_size];
          kernels_.to_half(key, shape.head_size, halves);
          kernels_.to_half(value, shape.head_size, halves + shape.head_size);
          store(std::span<const std::uint16_t>(halves, shape.head_size),
                std::span<const std::uint16_t>(halves + shape.head_size, shape.head_size), slot, keys, values);
        }
      }
    });
  }

  void attention(const KvShape& shape, std::size_t layer, View q, std::span<const KvRow> rows,
                 Activations& out) override {
    require(q.rows == rows.size() && q.cols % (shape.head_size * shape.kv_heads) == 0, "attention", "shapes differ");
    check(shape, layer, rows, "attention");
    attention_.run(shape, layer, q, rows, precision_, reset(out, q.rows, q.cols).values());
  }

  void candidates(View logits, std::span<const SamplingRules> rules, std::span<Choice> choices) override {
    candidates_.run(logits, rules, choices);
  }

 private:
  static constexpr std::size_t max_head_size = 512;

  // What multiplies a weight on tiles, in the present mode; nothing, if nothing does.
  struct TileProduct {
    ExactProduct* exact = nullptr;
    FastProduct* fast = nullptr;

    explicit operator bool() const { return exact != nullptr || fast != nullptr; }
    Form form() const { return exact != nullptr ? Form::Exact : Form::Fast; }
  };

  struct Slice {
    std::size_t first_part;
    std::size_t rows;    // of the weight, in each part
    std::size_t blocks;  // of activation rows
    TileProduct on_tiles;
  };

  static CpuActivations& reset(Activations& out, std::size_t rows, std::size_t cols) {
    auto& activations = dynamic_cast<CpuActivations&>(out);
    activations.reset(rows, cols);
    return activations;
  }

  static void check(const KvShape& shape, std::size_t layer, std::span<const KvRow> rows, const char* operation) {
    require(shape.type == quant::Type::F16 || shape.type == quant::Type::F32, operation, "the cache holds F16 or F32");
    require(shape.head_size % 16 == 0 && shape.head_size > 0 && shape.head_size <= max_head_size, operation,
            "a head size of " + std::to_string(shape.head_size) + " is not a multiple of 16 up to 512");
    require(layer < shape.layers, operation, "layer " + std::to_string(layer) + " does not exist");
    for (const KvRow& row : rows) {
      require(row.position / page_positions < row.pages.size(), operation,
              "position " + std::to_string(row.position) + " has no page");
    }
  }

  // Keys lie transposed, so that a block's scores are computed for many positions at once.
  template <typename T>
  static void store(std::span<const T> key, std::span<const T> value, std::size_t slot, std::byte* keys,
                    std::byte* values) {
    for (std::size_t d = 0; d < key.size(); ++d)
      std::memcpy(keys + (d * page_positions + slot) * sizeof(T), &key[d], sizeof(T));
    std::memcpy(values + slot * value.size_bytes(), value.data(), value.size_bytes());
  }

  TileProduct tile_product(const Matrix& w, const CpuActivations& x) const {
    if (kernels_.exact_product == nullptr) return {};
    if (precision_ == Precision::Fast) return {.fast = kernels_.fast_product(w.type)};
    if (x.rows() < exact_tile_rows) return {};
    return {.exact = kernels_.exact_product(w.type)};
  }

  // Weights are unpacked once for all activation rows: parts are as large as leaves each thread a few.
  std::size_t tiled_rows_per_part(std::size_t total_rows) const {
    constexpr std::size_t unit = 2 * panel_rows;
    const std::size_t fair = total_rows / (tiled_parts_per_thread * static_cast<std::size_t>(pool_.size()));
    return std::clamp(fair / unit * unit, unit, tiled_weight_rows);
  }

  void multiply_on_tiles(const TileProduct& product, const Matrix& w, std::size_t first, std::size_t count,
                         const CpuActivations& x, std::size_t block, const Output& out, int thread) {
    const std::size_t bytes = w.data.size() / w.rows;
    const WeightRows rows{reinterpret_cast<const std::uint8_t*>(w.data.data()) + first * bytes, bytes, count, w.cols};
    const std::size_t n = x.tiled_rows_in(block);
    std::byte* scratch = &tile_scratch_[static_cast<std::size_t>(thread) * tiled_scratch_bytes];
    if (product.exact != nullptr) {
      product.exact(rows, x.exact(block), n, out, scratch);
    } else {
      product.fast(rows, x.fast(block), n, out, scratch);
    }
  }

  void swiglu_on_tiles(CpuActivations& x, const Matrix& gate, const TileProduct& gate_product, const Matrix& up,
                       const TileProduct& up_product, CpuActivations& to) {
    x.make(gate_product.form(), kernels_, pool_);
    const std::size_t rows = std::min(max_part_rows, tiled_rows_per_part(gate.rows));
    const std::size_t blocks = x.tiled_blocks();
    ranges_.run((gate.rows + rows - 1) / rows * blocks, [&](std::size_t part, int thread) {
      const std::size_t block = part % blocks;
      const std::size_t first = part / blocks * rows;
      const std::size_t count = std::min(rows, gate.rows - first);
      float* gated = &scratch_[static_cast<std::size_t>(thread) * 2 * tiled_rows * max_part_rows];
      float* linear = gated + tiled_rows * max_part_rows;
      multiply_on_tiles(gate_product, gate, first, count, x, block, {gated, max_part_rows, false}, thread);
      multiply_on_tiles(up_product, up, first, count, x, block, {linear, max_part_rows, false}, thread);
      for (std::size_t a = 0; a < x.tiled_rows_in(block); ++a) {
        kernels_.swiglu(gated + a * max_part_rows, linear + a * max_part_rows, count,
                        to.values() + (block * tiled_rows + a) * gate.rows + first);
      }
    });
  }

  // Enough parts that all threads finish together, none so small that handing it out costs.
  std::size_t rows_per_part(const Matrix& w, const CpuActivations& x, std::size_t total_bytes) const {
    const std::size_t bytes = w.data.size() / w.rows;
    const std::size_t total_rows = total_bytes / bytes * x.blocks();
    const std::size_t fair = total_rows / (parts_per_thread * static_cast<std::size_t>(pool_.size()));
    const std::size_t most = x.rows() >= panel_rows ? max_part_rows : std::max(panel_rows, part_bytes / bytes);
    return round_up(std::clamp<std::size_t>(fair, 1, most), panel_rows);
  }

  // Calls body(i) for every row, on all threads.
  template <typename Body>
  void each_row(std::size_t rows, Body body) {
    pool_.run(static_cast<int>(rows), [&](int i, int) { body(static_cast<std::size_t>(i)); });
  }

  const Kernels& kernels_;
  base::ThreadPool pool_;
  Ranges ranges_;
  Attention attention_;
  Candidates candidates_;
  Precision precision_ = Precision::Exact;
  std::optional<RatesMeter> rates_;
  std::vector<float> read_;                      // what read() returned, where rows have gaps
  base::AlignedBuffer<float> scratch_;           // for each thread, the gate and up products of one part
  base::AlignedBuffer<std::byte> tile_scratch_;  // for each thread, what products on tiles need
};

}  // namespace
}  // namespace cpu

bool can_multiply(quant::Type type) { return cpu::has_product(type); }

std::unique_ptr<Device> make_cpu_device(int threads, std::optional<Isa> forced) {
  if (threads < 1)
    throw base::Error("threads", std::to_string(threads) + " is not a number of threads", "give at least 1");
  return std::make_unique<cpu::CpuDevice>(threads, cpu::kernels_for(cpu::choose_isa(forced)));
}

}  // namespace compute
