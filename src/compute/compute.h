// The operations of a transformer's forward pass, and the device that carries them out. What each computes, to the bit,
// is stated in docs/numerics.md: every CPU device gives the same bits at any batch size and thread count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "compute/candidates.h"
#include "quant/type.h"

namespace compute {

// A weight as it lies in the file: `rows` outputs of `cols` inputs each, row-major, every row a whole number of blocks.
// The bytes belong to the caller and must outlive the products made with them.
struct Matrix {
  quant::Type type = quant::Type::F32;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::span<const std::byte> data;
};

// Types a Matrix may have: those that quant::can_decode names.
bool can_multiply(quant::Type type);

// Floats in a device's memory: `rows` rows of `cols`, the starts of consecutive rows `stride` floats apart.
struct View {
  float* data = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t stride = 0;

  View first(std::size_t count) const { return {data, count, cols, stride}; }
  View part(std::size_t begin, std::size_t count) const { return {data + begin * stride, count, cols, stride}; }
  View row(std::size_t i) const { return part(i, 1); }
};

// Owns floats in a device's memory.
class Buffer {
 public:
  Buffer() = default;
  Buffer(View view, std::function<void(float*)> release) : view_(view), data_(view.data, std::move(release)) {}

  View view() const { return view_; }
  View first(std::size_t rows) const { return view_.first(rows); }

 private:
  View view_;
  std::unique_ptr<float[], std::function<void(float*)>> data_;
};

// The input of products: rows of floats, and beside them the int8 forms that quantised weights are multiplied with.
// An operation that writes it sets the number of rows and columns; a form is made when the first product needs it.
class Activations {
 public:
  virtual ~Activations() = default;
  virtual std::size_t rows() const = 0;
  virtual std::size_t cols() const = 0;
};

// y = x · weightᵀ, or y += x · weightᵀ. y: one row for each row of x, weight.rows columns.
struct Product {
  const Matrix& weight;
  View y;
  bool add = false;
};

// The cache of keys and values lies in pages of 64 consecutive positions of one sequence, aligned to absolute
// positions: position p is in page p / 64 of its sequence, at slot p % 64. A page holds all layers and key/value heads;
// for each, in this order, a block of keys and one of values. How a block lies is the device's affair; processors have
// the keys transposed, [head_size][64], and the values as [64][head_size].
inline constexpr std::size_t page_positions = 64;

struct KvShape {
  std::size_t layers = 0;
  std::size_t kv_heads = 0;
  std::size_t head_size = 0;            // a multiple of 16
  quant::Type type = quant::Type::F16;  // of the elements: F16 or F32

  std::size_t element_bytes() const { return type == quant::Type::F32 ? 4 : 2; }
  std::size_t block_bytes() const { return head_size * page_positions * element_bytes(); }
  std::size_t key_offset(std::size_t layer, std::size_t head) const {
    return (layer * kv_heads + head) * 2 * block_bytes();
  }
  std::size_t value_offset(std::size_t layer, std::size_t head) const {
    return key_offset(layer, head) + block_bytes();
  }
  std::size_t page_bytes() const { return layers * kv_heads * 2 * block_bytes(); }
};

// What of a device's memory pages of keys and values may take.
struct FreeMemory {
  std::uint64_t found = 0;      // bytes that nobody has
  std::uint64_t held_back = 0;  // of these, for weights that are not there yet and for all that is not a page

  std::uint64_t for_pages() const { return found > held_back ? found - held_back : 0; }
};

// Bytes in a device's memory, for pages of keys and values.
using PageMemory = std::unique_ptr<std::byte[], std::function<void(std::byte*)>>;

// Where one row of a batch stands: in which sequence (whose pages up to position / 64 exist in the device's memory,
// each aligned to 64 bytes) and at which absolute position.
struct KvRow {
  std::span<std::byte* const> pages;
  std::size_t position = 0;
};

// What a device can do at most.
struct Rates {
  double bytes_per_second = 0;  // read from its memory
  double int8_per_second = 0;   // operations of products of quantised weights: a product and a sum for each weight
  double float_per_second = 0;  // operations of all other products
  double bf16_per_second = 0;   // instead, for attention of prompts, where that is done in BF16 in the fast mode
  std::string instructions;     // that the products were measured with
};

// How products and attention are rounded. Exact: the bits of docs/numerics.md, the same on every CPU. Fast: as a device
// does them fastest, close to the exact ones; the bits then depend on the device, but still neither on the batch nor on
// the number of threads.
enum class Precision { Exact, Fast };

// One thread at a time may use a device. Shapes that do not fit together are refused with a base::Error. Operations are
// carried out in the order they were asked for; a device with a queue of its own may do so later, but before read(),
// copy_page() and write_page() return. What spans refer to is no longer needed when a call returns, but for the pages
// of rows, which must stay as they are until start() or read().
class Device {
 public:
  virtual ~Device() = default;

  virtual std::string name() const = 0;  // as in "AVX-512 (VNNI)"
  virtual int threads() const = 0;
  // Whether its exact results are, to the bit, those that docs/numerics.md states.
  virtual bool exact() const = 0;
  // The most rows of a batch that are faster together than one half after the other.
  virtual std::size_t batch_rows() const = 0;

  // Measures what it can do at most, in about a second. On processors it reads as much memory as a model of
  // `model_bytes` has, at most 4 GiB or half of what is free, takes that at the first call and keeps it: systems can be
  // busy for seconds with memory that is given back, which would slow down what is measured next. A card is measured at
  // the first call alone, which should come before its memory is taken.
  virtual Rates measure_rates(std::uint64_t model_bytes) = 0;

  // Whether Fast differs from Exact here.
  virtual bool has_fast_mode() const { return false; }
  // Holds for the operations that follow; Exact at first.
  virtual void set_precision(Precision) {}

  // Tells of all weights that will be used, matrices and gains of norms: a device with memory of its own copies them
  // there, or throws a base::Error that says how much they take and how much is free.
  virtual void prepare(std::span<const Matrix> matrices, std::span<const std::span<const float>> gains) = 0;
  // Begins what was asked for, without waiting for its end.
  virtual void start() {}
  // Waits until all that was asked for has been carried out.
  virtual void wait() {}
  // Forgets what was asked for and has not begun, after a failure.
  virtual void abandon() noexcept {}

  // What there is for keys and values beside a file of `file_bytes` whose weights have been prepared.
  virtual FreeMemory free_memory(std::uint64_t file_bytes) const = 0;
  virtual PageMemory allocate_pages(std::size_t bytes) = 0;
  virtual void copy_page(const std::byte* from, std::byte* to, std::size_t bytes) = 0;
  virtual void write_page(std::span<const std::byte> from, std::byte* to) = 0;

  virtual Buffer allocate(std::size_t rows, std::size_t cols) = 0;
  // Room for at most `rows` rows of at most `cols` floats.
  virtual std::unique_ptr<Activations> make_activations(std::size_t rows, std::size_t cols) = 0;

  // Moves floats out and in, without gaps between rows. What read() returns is valid until the next operation.
  virtual std::span<const float> read(View from) = 0;
  virtual void write(std::span<const float> from, View to) = 0;
  // y row i = x row rows[i].
  virtual void gather(View x, std::span<const std::size_t> rows, View y) = 0;
  // Takes rows as they are for the input of a product.
  virtual void assign(View x, Activations& out) = 0;

  // x row i = row tokens[i] of the table.
  virtual void embed(const Matrix& table, std::span<const std::uint32_t> tokens, View x) = 0;

  // out = x / sqrt(mean(x²) + epsilon) * gain, row by row. out is to be used before x is written again.
  virtual void rms_norm(View x, std::span<const float> gain, float epsilon, Activations& out) = 0;

  // Several products of one input, as one parallel phase.
  virtual void matmul(Activations& x, std::span<const Product> products) = 0;
  void matmul(Activations& x, std::initializer_list<Product> products) {
    matmul(x, std::span<const Product>(products.begin(), products.size()));
  }

  // hidden = silu(x · gateᵀ) * (x · upᵀ).
  virtual void swiglu(Activations& x, const Matrix& gate, const Matrix& up, Activations& hidden) = 0;

  // Turns the adjacent pairs (2i, 2i+1) of each head of each row. cos_sin: for each row of x, head_size floats:
  // cos 0, sin 0, cos 1, sin 1, …
  virtual void rope(View x, std::size_t head_size, View cos_sin) = 0;

  // Writes row i of k and v (kv_heads * head_size floats) into the cache at rows[i].
  virtual void store_kv(const KvShape& shape, std::size_t layer, View k, View v, std::span<const KvRow> rows) = 0;

  // out row i = softmax(q · kᵀ / sqrt(head_size)) · v over positions 0 to rows[i].position, each query head (q.cols /
  // head_size of them) with the key/value head of its group. The keys and values of all rows must be stored before.
  virtual void attention(const KvShape& shape, std::size_t layer, View q, std::span<const KvRow> rows,
                         Activations& out) = 0;

  // choices[i] = the token that is drawn from row i of logits (one column for each token of the vocabulary) by
  // rules[i]. Waits for the result. The logits are afterwards what they were. A row whose logits are not all finite is
  // refused by itself (Choice::finite); a base::Error of kind Internal, before anything is done, if sizes or rules are
  // wrong or a mask allows no token.
  virtual void candidates(View logits, std::span<const SamplingRules> rules, std::span<Choice> choices) = 0;
};

enum class Isa { Scalar, Avx2, Avx512, Amx };

// A device on `threads` threads of this machine's processors, with the best instruction set they have: Amx means tiles
// of int8 and BF16, granted by the system, and Avx512; Avx512 means F, BW, DQ, VL and VNNI, Avx2 means AVX2, FMA and
// F16C.
// `forced`, or else SMOLLM3_CPU=scalar|avx2|avx512|amx in the environment, picks one instead; an Error if it is unknown
// or the processor lacks it. Amx alone has a fast mode.
std::unique_ptr<Device> make_cpu_device(int threads, std::optional<Isa> forced = std::nullopt);

// Whether this machine's processors can run the instruction set.
bool supported(Isa isa);

// Whether there is a GPU that make_cuda_device can use; if not, `why` is a clause that tells, as in "there is no NVIDIA
// driver". Like make_cuda_device part of builds with SMOLLM3_CUDA only.
bool cuda_available(std::string* why);

// A device on an NVIDIA GPU; `threads` threads of this machine prepare its weights. An Error if there is none.
std::unique_ptr<Device> make_cuda_device(int threads);

enum class DeviceKind { Auto, Cpu, Cuda };

struct ChosenDevice {
  std::unique_ptr<Device> device;
  std::string note;  // a sentence for the user if Auto found no GPU in a build that could use one, else empty
};

// Auto: the GPU in builds with CUDA where there is one, else the CPU. Cuda: the GPU, or an Error that says why not.
ChosenDevice make_device(DeviceKind kind, int threads);

// How prompts are to be computed: as fast as the device can, unless exact ones are wanted.
Precision prompt_precision(const Device& device, bool exact);

// "exact" if what the device computes with this precision has, to the bit, the values of docs/numerics.md, else "fast".
std::string mode(const Device& device, Precision precision);

}  // namespace compute
