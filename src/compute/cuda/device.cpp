// A device that is an NVIDIA GPU. Operations are written down as a program (program.h) and started together: when a
// result is read, or when start() says that no more will come. Some are fused on the way: a norm with the products of a
// few rows, and for generation RoPE, the storing of keys and values and attention.
#include <cuda_runtime.h>

#include <algorithm>
#include <bit>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "compute/compute.h"
#include "compute/cuda/activations.h"
#include "compute/cuda/attention.h"
#include "compute/cuda/elementwise.h"
#include "compute/cuda/launch.h"
#include "compute/cuda/memory.h"
#include "compute/cuda/multiply_float.h"
#include "compute/cuda/packed.h"
#include "compute/cuda/products.h"
#include "compute/cuda/program.h"
#include "compute/cuda/rates.h"
#include "compute/cuda/weights.h"

namespace compute {
namespace cuda {
namespace {

constexpr std::size_t most_rows = 2048;         // of a batch: enough that products run at the speed of the matrix units
constexpr std::size_t repeated_rows = 64;       // passes over up to so many rows are likely to come again
constexpr std::uint64_t spare_memory = 512'000'000;  // of the GPU: activations, logits, graphs
constexpr std::size_t started_steps = 24;            // of a pass are started before the rest is written down
constexpr std::size_t most_input_bytes = 4 << 20;    // that write() makes part of a program
constexpr std::size_t blocks_per_processor = 2;  // of attention, for the sharing of long sequences

void require(bool holds, const char* operation, const std::string& why) {
  if (!holds) throw base::Error(operation, why);
}

struct Stream {
  Stream() { check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream"); }
  ~Stream() { cudaStreamDestroy(stream); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t stream = nullptr;
};

// The rows that the last operation on keys and values named, as they lie among the program's inputs.
struct PlacedRows {
  std::vector<KvRow> rows;
  RowTable table;
  const AttentionTile* tiles = nullptr;
  std::size_t tile_count = 0;
  std::size_t most_pages = 0;  // of one row, rounded up to a power of two
  bool each_alone = false;     // every row is of another sequence
};

// What may still become part of a fused attention.
struct Deferred {
  enum class Kind { Rope, Store } kind;
  View x;  // to be turned; or the keys
  View v;
  View cos_sin;
  std::size_t head_size = 0;
  KvShape shape;
  std::size_t layer = 0;
};

class CudaDevice : public Device {
 public:
  explicit CudaDevice(int threads) : threads_(threads), program_(stream_.stream) {
    int device = 0;
    check(cudaGetDevice(&device), "device");
    check(cudaGetDeviceProperties(&properties_, device), "device");
    workspace_ = DeviceMemory(many_workspace_bytes());
    zero(workspace_.as(), many_workspace_bytes());
    can_multiply_few_ = can_multiply_few();
  }

  ~CudaDevice() override { cudaStreamSynchronize(stream_.stream); }

  std::string name() const override { return std::string("CUDA (") + properties_.name + ")"; }
  int threads() const override { return threads_; }
  bool exact() const override { return false; }
  std::size_t batch_rows() const override { return most_rows; }

  void prepare(std::span<const Matrix> matrices, std::span<const std::span<const float>> gains) override {
    weights_.prepare(matrices, gains, threads_);
  }

  void start() override {
    carry_out_deferred();
    placed_ = {};
    begun_ = false;
    program_.start(rows_ <= repeated_rows, true);
  }

  void abandon() noexcept override {
    deferred_.clear();
    placed_ = {};
    begun_ = false;
    program_.discard();
  }

  std::uint64_t free_memory(std::uint64_t) const override {
    std::size_t available = 0;
    std::size_t total = 0;
    check(cudaMemGetInfo(&available, &total), "memory");
    return available > spare_memory ? available - spare_memory : 0;
  }

  PageMemory allocate_pages(std::size_t bytes) override {
    void* memory = DeviceMemory::take(bytes);
    zero(memory, bytes);  // what masked positions hold must at least be numbers
    return {static_cast<std::byte*>(memory), [this](std::byte* p) {
              finish();
              cudaFree(p);
            }};
  }

  void copy_page(const std::byte* from, std::byte* to, std::size_t bytes) override {
    start();
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_.stream), "copy of a page");
  }

  void write_page(std::span<const std::byte> from, std::byte* to) override {
    start();
    check(cudaMemcpyAsync(to, from.data(), from.size(), cudaMemcpyHostToDevice, stream_.stream), "copy of a page");
    check(cudaStreamSynchronize(stream_.stream), "copy of a page");
  }

  Buffer allocate(std::size_t rows, std::size_t cols) override {
    void* memory = DeviceMemory::take(std::max<std::size_t>(rows * cols, 1) * sizeof(float));
    const auto release = [this](float* p) {
      finish();
      cudaFree(p);
    };
    return Buffer({static_cast<float*>(memory), rows, cols, cols}, release);
  }

  std::unique_ptr<Activations> make_activations(std::size_t rows, std::size_t cols) override {
    return std::make_unique<CudaActivations>(rows, cols, [this] { finish(); });
  }

  std::span<const float> read(View from) override {
    start();
    const std::size_t count = from.rows * from.cols;
    if (count * sizeof(float) > result_.bytes()) result_ = PinnedMemory(count * sizeof(float));
    check(cudaMemcpy2DAsync(result_.as(), from.cols * sizeof(float), from.data, from.stride * sizeof(float),
                            from.cols * sizeof(float), from.rows, cudaMemcpyDeviceToHost, stream_.stream),
          "copy of results");
    check(cudaStreamSynchronize(stream_.stream), "forward pass");
    return {result_.as<float>(), count};
  }

  void write(std::span<const float> from, View to) override {
    require(from.size() == to.rows * to.cols, "write", "sizes differ");
    if (from.empty()) return;
    carry_out_deferred();
    if (from.size_bytes() > most_input_bytes) {
      start();
      const std::size_t bytes = to.cols * sizeof(float);
      check(cudaMemcpy2DAsync(to.data, to.stride * sizeof(float), from.data(), bytes, bytes, to.rows,
                              cudaMemcpyHostToDevice, stream_.stream),
            "copy");
      check(cudaStreamSynchronize(stream_.stream), "copy");
      return;
    }
    const float* source = program_.input(from);
    add([=](cudaStream_t stream) {
      gather_rows(stream, source, to.cols, nullptr, to.rows, to.cols, to.data, to.stride);
    }, &gather_rows, source, to.rows, to.cols, to.data, to.stride);
  }

  void gather(View x, std::span<const std::size_t> rows, View y) override {
    require(rows.size() == y.rows && x.cols == y.cols, "gather", "shapes differ");
    if (y.rows == 0) return;
    for (const std::size_t row : rows) {
      require(row < x.rows, "gather", "row " + std::to_string(row) + " does not exist");
    }
    carry_out_deferred();
    const std::vector<std::uint32_t> indices(rows.begin(), rows.end());
    const std::uint32_t* source = program_.input(std::span<const std::uint32_t>(indices));
    add([=](cudaStream_t stream) { gather_rows(stream, x.data, x.stride, source, y.rows, y.cols, y.data, y.stride); },
        &gather_rows, x.data, x.stride, source, y.rows, y.cols, y.data, y.stride);
  }

  void assign(View x, Activations& out) override {
    carry_out_deferred();
    CudaActivations& to = reset(out, x.rows, x.cols);
    float* floats = to.floats();
    const std::size_t stride = to.float_stride();
    add([=](cudaStream_t stream) { gather_rows(stream, x.data, x.stride, nullptr, x.rows, x.cols, floats, stride); },
        &gather_rows, x.data, x.stride, x.rows, x.cols, floats, stride);
    to.set_valid(CudaActivations::Form::Floats);
  }

  void embed(const Matrix& table, std::span<const std::uint32_t> tokens, View x) override {
    require(tokens.size() == x.rows && table.cols == x.cols, "embed", "shapes differ");
    if (x.rows == 0) return;
    for (const std::uint32_t token : tokens) {
      require(token < table.rows, "embed", "token " + std::to_string(token) + " is not in the vocabulary");
    }
    carry_out_deferred();
    const PackedMatrix packed = weights_.matrix(table);
    const std::uint32_t* ids = program_.input(tokens);
    add([=](cudaStream_t stream) { embed_rows(stream, packed, ids, x.rows, x.data, x.stride); }, &embed_rows,
        packed.data, ids, x.rows, x.data, x.stride);
    rows_ = x.rows;
  }

  // Left to the products that use it, which for a few rows make the norm themselves.
  void rms_norm(View x, std::span<const float> gain, float epsilon, Activations& out) override {
    require(gain.size() == x.cols && x.cols % 16 == 0, "rms_norm", "shapes differ");
    carry_out_deferred();
    CudaActivations& to = reset(out, x.rows, x.cols);
    to.set_norm({x.rows, x.cols, x.data, x.stride, weights_.gain(gain), epsilon});
  }

  using Device::matmul;
  void matmul(Activations& input, std::span<const Product> products) override {
    auto& x = dynamic_cast<CudaActivations&>(input);
    carry_out_deferred();
    std::vector<OutputProduct> packed;
    for (const Product& product : products) {
      require(product.weight.cols == x.cols() && product.y.rows == x.rows() && product.y.cols == product.weight.rows,
              "matmul", "shapes differ");
      const PackedMatrix weight = weights_.matrix(product.weight);
      if (weight.format == Format::F32) {
        multiply_in_float(x, weight, product.y, product.add);
      } else {
        packed.push_back({weight, product.y.data, product.y.stride, product.add});
      }
    }
    if (!packed.empty()) multiply_packed(x, packed);
  }

  void swiglu(Activations& input, const Matrix& gate, const Matrix& up, Activations& hidden) override {
    auto& x = dynamic_cast<CudaActivations&>(input);
    require(gate.cols == x.cols() && up.cols == x.cols() && gate.rows == up.rows, "swiglu", "shapes differ");
    carry_out_deferred();
    CudaActivations& to = reset(hidden, x.rows(), gate.rows);
    const PackedMatrix g = weights_.matrix(gate);
    const PackedMatrix u = weights_.matrix(up);
    if (g.format == Format::F32 || u.format == Format::F32) return swiglu_apart(x, gate, up, to);
    __half* halves = to.halves();
    const std::size_t stride = to.half_stride();
    if (few(x)) {
      const NormInput norm = *x.norm();
      add([=](cudaStream_t stream) { swiglu_few(stream, norm, g, u, halves, stride); }, words(norm), g.data, u.data,
          halves);
    } else {
      const Input in = halves_of(x);
      void* workspace = workspace_.as();
      add([=](cudaStream_t stream) { swiglu_many(stream, in, g, u, halves, stride, workspace); }, in.halves, in.rows,
          in.stride, g.data, u.data, halves, stride, workspace);
    }
    to.set_valid(CudaActivations::Form::Halves, hidden_divisor);
  }

  void rope(View x, std::size_t head_size, View cos_sin) override {
    require(head_size % 16 == 0 && head_size != 0 && x.cols % head_size == 0 && cos_sin.rows == x.rows &&
                cos_sin.cols == head_size,
            "rope", "shapes differ");
    deferred_.push_back({Deferred::Kind::Rope, x, {}, cos_sin, head_size, {}, 0});
  }

  void store_kv(const KvShape& shape, std::size_t layer, View k, View v, std::span<const KvRow> rows) override {
    const std::size_t cols = shape.kv_heads * shape.head_size;
    require(k.rows == rows.size() && v.rows == rows.size() && k.cols == cols && v.cols == cols, "store_kv",
            "shapes differ");
    place(shape, layer, rows, "store_kv");
    deferred_.push_back({Deferred::Kind::Store, k, v, {}, 0, shape, layer});
  }

  void attention(const KvShape& shape, std::size_t layer, View q, std::span<const KvRow> rows,
                 Activations& out) override {
    require(q.rows == rows.size() && q.cols % (shape.head_size * shape.kv_heads) == 0, "attention", "shapes differ");
    place(shape, layer, rows, "attention");
    CudaActivations& to = reset(out, q.rows, q.cols);
    const AttentionInput input{.shape = shape,
                               .layer = layer,
                               .rows = q.rows,
                               .heads = q.cols / shape.head_size,
                               .q = q.data,
                               .q_stride = q.stride,
                               .table = placed_.table};
    const bool fast = shape.type == quant::Type::F16 && (shape.head_size == 64 || shape.head_size == 128) &&
                      input.heads / shape.kv_heads <= 16;
    AttentionOutput result;
    if (weights_.any_floats()) {
      result.floats = to.floats();
      result.float_stride = to.float_stride();
      to.set_valid(CudaActivations::Form::Floats);
    } else {
      result.halves = to.halves();
      result.half_stride = to.half_stride();
      to.set_valid(CudaActivations::Form::Halves);
    }
    if (fast && placed_.each_alone && attend_fused(input, result)) return;
    carry_out_deferred();
    if (fast) {
      const AttentionTile* tiles = placed_.tiles;
      const std::size_t count = placed_.tile_count;
      add_attention([=](cudaStream_t stream) { attend_prompt(stream, input, tiles, count, result); }, &attend_prompt,
                    input, result, tiles, count);
    } else {
      add_attention([=](cudaStream_t stream) { attend_plain(stream, input, result); }, &attend_plain, input, result);
    }
  }

  std::optional<Rates> measure_rates() override {
    start();
    return cuda::measure_rates(stream_.stream, properties_.multiProcessorCount);
  }

 private:
  // Does what was asked for, so that memory can be given back. An error shows where results are read.
  void finish() noexcept {
    try {
      start();
      cudaStreamSynchronize(stream_.stream);
    } catch (const std::exception&) {
    }
  }

  static CudaActivations& reset(Activations& out, std::size_t rows, std::size_t cols) {
    auto& activations = dynamic_cast<CudaActivations&>(out);
    activations.reset(rows, cols);
    return activations;
  }

  template <typename... Parameters>
  void add(std::function<void(cudaStream_t)> run, const Parameters&... parameters) {
    program_.add(std::move(run), parameters...);
    // The GPU begins while the rest is still being written down.
    if (!begun_ && program_.steps() == started_steps) {
      program_.start(rows_ <= repeated_rows, false);
      begun_ = true;
    }
  }

  template <typename Function, typename... Others>
  void add_attention(std::function<void(cudaStream_t)> run, Function function, const AttentionInput& input,
                     const AttentionOutput& out, const Others&... others) {
    add(std::move(run), function, input.q, input.q_stride, input.rows, input.heads, input.layer, input.shape.kv_heads,
        input.shape.head_size, input.shape.type, input.table.position, input.table.first_page, input.table.pages,
        out.floats, out.float_stride, out.halves, out.half_stride, others...);
  }

  template <typename T>
  static std::uint64_t word(T* pointer) {
    return reinterpret_cast<std::uintptr_t>(pointer);
  }
  static void add_words(std::vector<std::uint64_t>& key, const std::vector<std::uint64_t>& more) {
    key.insert(key.end(), more.begin(), more.end());
  }
  static std::vector<std::uint64_t> words(const NormInput& norm) {
    return {norm.rows, norm.cols, word(norm.x), norm.stride, word(norm.gain), std::bit_cast<std::uint32_t>(norm.epsilon)};
  }

  // Whether products make the norm of this input themselves.
  bool few(const CudaActivations& x) const {
    return can_multiply_few_ && x.norm() && x.rows() <= few_rows && x.cols() <= most_norm_cols;
  }

  void multiply_packed(CudaActivations& x, const std::vector<OutputProduct>& products) {
    std::function<void(cudaStream_t)> run;
    std::vector<std::uint64_t> key;
    for (const OutputProduct& product : products) {
      key.insert(key.end(), {word(product.weight.data), word(product.y), product.stride, product.add});
    }
    if (few(x)) {
      const NormInput norm = *x.norm();
      add_words(key, words(norm));
      run = [=](cudaStream_t stream) { multiply_few(stream, norm, products); };
    } else {
      const Input in = halves_of(x);
      const float scale = x.scale();
      add_words(key, {in.rows, word(in.halves), in.stride, std::bit_cast<std::uint32_t>(scale)});
      if (can_multiply_few_ && in.rows <= few_rows) {
        run = [=](cudaStream_t stream) { multiply_few(stream, in, products, scale); };
      } else {
        void* workspace = workspace_.as();
        run = [=](cudaStream_t stream) { multiply_many(stream, in, products, scale, workspace); };
      }
    }
    add(std::move(run), key);
  }

  void multiply_in_float(CudaActivations& x, const PackedMatrix& weight, View y, bool sum) {
    const float* floats = floats_of(x);
    const std::size_t stride = x.float_stride();
    add([=](cudaStream_t stream) { multiply_float(stream, weight, floats, y.rows, stride, y.data, y.stride, sum); },
        &multiply_float, weight.data, floats, stride, y.rows, y.data, y.stride, sum);
  }

  // For weights of which one is F32: both products in float memory, then gated.
  void swiglu_apart(CudaActivations& x, const Matrix& gate, const Matrix& up, CudaActivations& to) {
    const std::size_t size = x.rows() * gate.rows;
    if (size > gated_.view().cols) {
      start();
      gated_ = allocate(2, size);
    }
    const View g{gated_.view().row(0).data, x.rows(), gate.rows, gate.rows};
    const View u{gated_.view().row(1).data, x.rows(), gate.rows, gate.rows};
    const Product products[] = {{gate, g}, {up, u}};
    matmul(x, products);
    float* floats = to.floats();
    const std::size_t stride = to.float_stride();
    add([=](cudaStream_t stream) { gate_rows(stream, g.data, u.data, g.rows, g.cols, floats, stride); }, &gate_rows,
        g.data, u.data, g.rows, g.cols, floats, stride);
    to.set_valid(CudaActivations::Form::Floats, hidden_divisor);
  }

  // The input in halves, made now if it is not there yet.
  Input halves_of(CudaActivations& x) {
    if (!x.valid(CudaActivations::Form::Halves)) {
      __half* halves = x.halves();
      const std::size_t stride = x.half_stride();
      if (x.norm()) {
        const NormInput norm = *x.norm();
        add([=](cudaStream_t stream) { normalise_rows(stream, norm, nullptr, 0, halves, stride); }, &normalise_rows,
            words(norm), halves, stride);
      } else {
        const float* floats = x.floats();
        const std::size_t rows = x.rows();
        const std::size_t cols = x.cols();
        const std::size_t float_stride = x.float_stride();
        const float scale = 1 / x.scale();
        add([=](cudaStream_t stream) { round_rows(stream, floats, rows, cols, float_stride, scale, halves, stride); },
            &round_rows, floats, rows, cols, float_stride, halves, stride, scale);
      }
      x.also_valid(CudaActivations::Form::Halves);
    }
    return {x.rows(), x.halves(), x.half_stride()};
  }

  const float* floats_of(CudaActivations& x) {
    if (!x.valid(CudaActivations::Form::Floats)) {
      float* floats = x.floats();
      const std::size_t stride = x.float_stride();
      if (x.norm()) {
        const NormInput norm = *x.norm();
        add([=](cudaStream_t stream) { normalise_rows(stream, norm, floats, stride, nullptr, 0); }, &normalise_rows,
            words(norm), floats, stride);
      } else {
        const __half* halves = x.halves();
        const std::size_t half_stride = x.half_stride();
        const std::size_t rows = x.rows();
        const std::size_t cols = x.cols();
        const float scale = x.scale();
        add([=](cudaStream_t stream) { widen_rows(stream, halves, rows, cols, half_stride, scale, floats, stride); },
            &widen_rows, halves, rows, cols, half_stride, floats, stride, scale);
      }
      x.also_valid(CudaActivations::Form::Floats);
    }
    return x.floats();
  }

  void carry_out_deferred() {
    for (const Deferred& d : std::exchange(deferred_, {})) {
      const View x = d.x;
      if (d.kind == Deferred::Kind::Rope) {
        const View cos_sin = d.cos_sin;
        const std::size_t size = d.head_size;
        add([=](cudaStream_t stream) {
          turn_rows(stream, x.data, x.rows, x.cols, x.stride, size, cos_sin.data, cos_sin.stride);
        }, &turn_rows, x.data, x.rows, x.cols, x.stride, size, cos_sin.data, cos_sin.stride);
      } else {
        const View v = d.v;
        const KvShape shape = d.shape;
        const std::size_t layer = d.layer;
        const RowTable table = placed_.table;
        add([=](cudaStream_t stream) {
          store_rows(stream, shape, layer, x.rows, x.data, x.stride, v.data, v.stride, table);
        }, &store_rows, x.data, x.stride, v.data, v.stride, x.rows, layer, shape.kv_heads, shape.head_size, shape.type, table.position,
            table.first_page, table.pages);
      }
    }
  }

  // Generation: [turn k], store, [turn q] and attention as one kernel; false if that is not what was asked for.
  bool attend_fused(const AttentionInput& input, const AttentionOutput& out) {
    const bool turned = deferred_.size() == 3;
    if (!turned && deferred_.size() != 1) return false;
    const Deferred& store = deferred_[turned ? 1 : 0];
    if (store.kind != Deferred::Kind::Store || store.layer != input.layer) return false;
    NewKeys fresh{.k = store.x.data, .k_stride = store.x.stride, .v = store.v.data, .v_stride = store.v.stride};
    if (turned) {
      const Deferred& k = deferred_[0];
      const Deferred& q = deferred_[2];
      if (k.kind != Deferred::Kind::Rope || q.kind != Deferred::Kind::Rope || k.x.data != store.x.data ||
          q.x.data != input.q || k.cos_sin.data != q.cos_sin.data || k.cos_sin.stride != k.head_size ||
          k.head_size != input.shape.head_size || q.head_size != k.head_size) {
        return false;
      }
      fresh.cos_sin = k.cos_sin.data;
    }
    deferred_.clear();
    const std::size_t blocks = blocks_per_processor * static_cast<std::size_t>(properties_.multiProcessorCount);
    const std::size_t splits =
        std::clamp<std::size_t>(blocks / (input.rows * input.shape.kv_heads), 1, placed_.most_pages);
    const std::size_t bytes = decode_workspace_bytes(input.rows, input.heads, input.shape.head_size, splits);
    if (bytes > decode_bytes_) {
      DeviceMemory larger(2 * bytes);
      zero(larger.as(), 2 * bytes);
      // Steps that know the old one may not have been started; their graphs are never found again: their keys name it.
      retired_.push_back(std::move(decode_workspace_));
      decode_workspace_ = std::move(larger);
      decode_bytes_ = 2 * bytes;
    }
    void* workspace = decode_workspace_.as();
    add_attention([=](cudaStream_t stream) { attend_decode(stream, input, fresh, out, splits, workspace); },
                  &attend_decode, input, out, splits, workspace, fresh.k, fresh.k_stride, fresh.v, fresh.v_stride,
                  fresh.cos_sin);
    return true;
  }

  // Puts the rows among the program's inputs, unless they are there already.
  void place(const KvShape& shape, std::size_t layer, std::span<const KvRow> rows, const char* operation) {
    require(shape.type == quant::Type::F16 || shape.type == quant::Type::F32, operation, "the cache holds F16 or F32");
    require(shape.head_size % 16 == 0 && shape.head_size > 0 && shape.head_size <= 512, operation,
            "a head size of " + std::to_string(shape.head_size) + " is not a multiple of 16 up to 512");
    require(layer < shape.layers, operation, "layer " + std::to_string(layer) + " does not exist");
    const auto same = [](const KvRow& a, const KvRow& b) {
      return a.position == b.position && a.pages.data() == b.pages.data() && a.pages.size() == b.pages.size();
    };
    if (!placed_.rows.empty() && std::ranges::equal(rows, placed_.rows, same)) return;
    carry_out_deferred();

    PlacedRows placed;
    placed.rows.assign(rows.begin(), rows.end());
    std::vector<std::uint32_t> positions;
    std::vector<std::uint32_t> first_pages;
    std::vector<std::byte*> pages;
    std::vector<AttentionTile> tiles;
    std::unordered_set<const void*> sequences;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const KvRow& row = rows[i];
      require(row.position / page_positions < row.pages.size(), operation,
              "position " + std::to_string(row.position) + " has no page");
      const bool goes_on = i > 0 && rows[i - 1].pages.data() == row.pages.data();
      if (!goes_on) sequences.insert(row.pages.data());
      positions.push_back(static_cast<std::uint32_t>(row.position));
      if (goes_on && rows[i - 1].pages.size() == row.pages.size()) {
        first_pages.push_back(first_pages.back());
      } else {
        first_pages.push_back(static_cast<std::uint32_t>(pages.size()));
        pages.insert(pages.end(), row.pages.begin(), row.pages.end());
      }
      if (goes_on && row.position == rows[i - 1].position + 1 && tiles.back().rows < tile_positions) {
        ++tiles.back().rows;
      } else {
        tiles.push_back({static_cast<std::uint32_t>(i), 1});
      }
      placed.most_pages = std::max(placed.most_pages, row.position / page_positions + 1);
    }
    std::size_t rounded = 1;
    while (rounded < placed.most_pages) rounded *= 2;
    placed.most_pages = rounded;
    placed.each_alone = sequences.size() == rows.size();
    // The longest first, so that no long one is left alone at the end.
    std::ranges::stable_sort(tiles, std::ranges::greater(),
                             [&](const AttentionTile& tile) { return positions[tile.first_row]; });
    placed.tile_count = tiles.size();
    placed.table.position = program_.input(std::span<const std::uint32_t>(positions));
    placed.table.first_page = program_.input(std::span<const std::uint32_t>(first_pages));
    placed.tiles = program_.input(std::span<const AttentionTile>(tiles));
    std::size_t room = 64;
    while (room < pages.size()) room *= 2;
    placed.table.pages = program_.input(std::span<std::byte* const>(pages), room);
    placed_ = std::move(placed);
  }

  int threads_;
  cudaDeviceProp properties_{};
  Stream stream_;
  Weights weights_;
  Program program_;
  std::size_t rows_ = 0;  // of the pass
  bool can_multiply_few_ = false;
  bool begun_ = false;    // whether the first steps of the pass have been started
  PlacedRows placed_;
  std::vector<Deferred> deferred_;
  DeviceMemory workspace_;         // of products
  DeviceMemory decode_workspace_;  // of attention
  std::size_t decode_bytes_ = 0;
  std::vector<DeviceMemory> retired_;
  Buffer gated_;         // of swiglu_apart
  PinnedMemory result_;  // what read() returned
};

}  // namespace
}  // namespace cuda

constexpr int least_major = 8;  // of compute capability: Ampere

bool cuda_available(std::string* why) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  int major = 0;
  if (status == cudaSuccess && count > 0) {
    cuda::check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "compute capability");
    if (major >= least_major) return true;
    if (why) *why = "the GPU is older than compute capability 8.0";
    return false;
  }
  cudaGetLastError();
  if (!why) return false;
  switch (status) {
    case cudaSuccess:
    case cudaErrorNoDevice: *why = "there is no NVIDIA GPU"; break;
    case cudaErrorInsufficientDriver: {
      const int version = CUDART_VERSION;
      *why = "there is no NVIDIA driver, or an older one than CUDA " + std::to_string(version / 1000) + "." +
             std::to_string(version % 1000 / 10) + " needs";
      break;
    }
    default: *why = cudaGetErrorString(status);
  }
  return false;
}

std::unique_ptr<Device> make_cuda_device(int threads) {
  if (threads < 1)
    throw base::Error("threads", std::to_string(threads) + " is not a number of threads", "give at least 1");
  std::string why;
  if (!cuda_available(&why)) throw base::Error("--device cuda", why, "use --device cpu");
  return std::make_unique<cuda::CudaDevice>(threads);
}

}  // namespace compute
