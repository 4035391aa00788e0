// A device that is an NVIDIA GPU. Operations are written down as a pass (pass.h) and started together: when a result is
// read, or when start() says that no more will come. Some are fused on the way: a norm with the products of a few rows
// (product_steps.h), and for generation RoPE, the storing of keys and values and attention (attention_steps.h).
#include <cuda_runtime.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "compute/compute.h"
#include "compute/cuda/activations.h"
#include "compute/cuda/attention_steps.h"
#include "compute/cuda/candidates.h"
#include "compute/cuda/elementwise.h"
#include "compute/cuda/launch.h"
#include "compute/cuda/memory.h"
#include "compute/cuda/packed.h"
#include "compute/cuda/pass.h"
#include "compute/cuda/product_steps.h"
#include "compute/cuda/rates.h"
#include "compute/cuda/weights.h"

namespace compute {
namespace cuda {
namespace {

constexpr std::size_t most_rows = 2048;  // of a batch: enough that products run at the speed of the matrix units
constexpr std::uint64_t spare_memory = 512'000'000;  // of the GPU: activations, logits, graphs
constexpr std::size_t most_input_bytes = 4 << 20;    // that write() makes part of a pass

void require(bool holds, const char* operation, const std::string& why) {
  if (!holds) throw base::Error(base::ErrorKind::Internal, operation, why);
}

struct Stream {
  Stream() { check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream"); }
  ~Stream() { cudaStreamDestroy(stream); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t stream = nullptr;
};

cudaDeviceProp properties_of_current() {
  int device = 0;
  cudaDeviceProp properties{};
  check(cudaGetDevice(&device), "device");
  check(cudaGetDeviceProperties(&properties, device), "device");
  return properties;
}

void check_cache(const KvShape& shape, std::size_t layer, const char* operation) {
  require(shape.type == quant::Type::F16 || shape.type == quant::Type::F32, operation, "the cache holds F16 or F32");
  require(shape.head_size % 16 == 0 && shape.head_size > 0 && shape.head_size <= 512, operation,
          "a head size of " + std::to_string(shape.head_size) + " is not a multiple of 16 up to 512");
  require(shape.kv_heads > 0, operation, "the cache has no heads");
  require(layer < shape.layers, operation, "layer " + std::to_string(layer) + " does not exist");
}

class CudaDevice : public Device {
 public:
  explicit CudaDevice(int threads)
      : threads_(threads),
        pass_(stream_.stream),
        attention_(pass_, static_cast<std::size_t>(properties_.multiProcessorCount)),
        products_(pass_, weights_, *this) {}

  ~CudaDevice() override { cudaStreamSynchronize(stream_.stream); }

  std::string name() const override { return std::string("CUDA (") + properties_.name + ")"; }
  int threads() const override { return threads_; }
  bool exact() const override { return false; }
  std::size_t batch_rows() const override { return most_rows; }

  void prepare(std::span<const Matrix> matrices, std::span<const std::span<const float>> gains) override {
    weights_.prepare(matrices, gains, threads_);
  }

  void start() override {
    attention_.carry_out();
    attention_.reset();
    pass_.start();
  }

  void wait() override {
    start();
    check(cudaStreamSynchronize(stream_.stream), "forward pass");
  }

  void abandon() noexcept override {
    attention_.reset();
    pass_.discard();
  }

  FreeMemory free_memory(std::uint64_t) const override {
    std::size_t available = 0;
    std::size_t total = 0;
    check(cudaMemGetInfo(&available, &total), "memory");
    return {.found = available, .held_back = spare_memory};
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
    attention_.carry_out();
    if (from.size_bytes() > most_input_bytes) {
      start();
      const std::size_t bytes = to.cols * sizeof(float);
      check(cudaMemcpy2DAsync(to.data, to.stride * sizeof(float), from.data(), bytes, bytes, to.rows,
                              cudaMemcpyHostToDevice, stream_.stream),
            "copy");
      check(cudaStreamSynchronize(stream_.stream), "copy");
      return;
    }
    const float* source = pass_.input(from);
    pass_.add(
        [=](cudaStream_t stream) {
          gather_rows(stream, source, to.cols, nullptr, to.rows, to.cols, to.data, to.stride);
        },
        &gather_rows, source, to.rows, to.cols, to.data, to.stride);
  }

  void gather(View x, std::span<const std::size_t> rows, View y) override {
    require(rows.size() == y.rows && x.cols == y.cols, "gather", "shapes differ");
    if (y.rows == 0) return;
    for (const std::size_t row : rows) {
      require(row < x.rows, "gather", "row " + std::to_string(row) + " does not exist");
    }
    attention_.carry_out();
    const std::vector<std::uint32_t> indices(rows.begin(), rows.end());
    const std::uint32_t* source = pass_.input(std::span<const std::uint32_t>(indices));
    pass_.add(
        [=](cudaStream_t stream) { gather_rows(stream, x.data, x.stride, source, y.rows, y.cols, y.data, y.stride); },
        &gather_rows, x.data, x.stride, source, y.rows, y.cols, y.data, y.stride);
  }

  void assign(View x, Activations& out) override {
    attention_.carry_out();
    CudaActivations& to = reset(out, x.rows, x.cols);
    float* floats = to.floats();
    const std::size_t stride = to.float_stride();
    pass_.add(
        [=](cudaStream_t stream) { gather_rows(stream, x.data, x.stride, nullptr, x.rows, x.cols, floats, stride); },
        &gather_rows, x.data, x.stride, x.rows, x.cols, floats, stride);
    to.set_valid(CudaActivations::Form::Floats);
  }

  void embed(const Matrix& table, std::span<const std::uint32_t> tokens, View x) override {
    require(tokens.size() == x.rows && table.cols == x.cols, "embed", "shapes differ");
    if (x.rows == 0) return;
    for (const std::uint32_t token : tokens) {
      require(token < table.rows, "embed", "token " + std::to_string(token) + " is not in the vocabulary");
    }
    attention_.carry_out();
    const PackedMatrix packed = weights_.matrix(table);
    const std::uint32_t* ids = pass_.input(tokens);
    pass_.add([=](cudaStream_t stream) { embed_rows(stream, packed, ids, x.rows, x.data, x.stride); }, &embed_rows,
              packed.data, ids, x.rows, x.data, x.stride);
    pass_.set_rows(x.rows);
  }

  // Left to the products that use it, which for a few rows make the norm themselves.
  void rms_norm(View x, std::span<const float> gain, float epsilon, Activations& out) override {
    require(gain.size() == x.cols && x.cols % 16 == 0, "rms_norm", "shapes differ");
    attention_.carry_out();
    CudaActivations& to = reset(out, x.rows, x.cols);
    to.set_norm({x.rows, x.cols, x.data, x.stride, weights_.gain(gain), epsilon});
  }

  using Device::matmul;
  void matmul(Activations& input, std::span<const Product> products) override {
    auto& x = dynamic_cast<CudaActivations&>(input);
    for (const Product& product : products) {
      require(product.weight.cols == x.cols() && product.y.rows == x.rows() && product.y.cols == product.weight.rows,
              "matmul", "shapes differ");
    }
    attention_.carry_out();
    products_.multiply(x, products);
  }

  void swiglu(Activations& input, const Matrix& gate, const Matrix& up, Activations& hidden) override {
    auto& x = dynamic_cast<CudaActivations&>(input);
    require(gate.cols == x.cols() && up.cols == x.cols() && gate.rows == up.rows, "swiglu", "shapes differ");
    attention_.carry_out();
    products_.swiglu(x, gate, up, reset(hidden, x.rows(), gate.rows));
  }

  void rope(View x, std::size_t head_size, View cos_sin) override {
    require(head_size % 16 == 0 && head_size != 0 && x.cols % head_size == 0 && cos_sin.rows == x.rows &&
                cos_sin.cols == head_size,
            "rope", "shapes differ");
    attention_.rope(x, head_size, cos_sin);
  }

  void store_kv(const KvShape& shape, std::size_t layer, View k, View v, std::span<const KvRow> rows) override {
    const std::size_t cols = shape.kv_heads * shape.head_size;
    require(k.rows == rows.size() && v.rows == rows.size() && k.cols == cols && v.cols == cols, "store_kv",
            "shapes differ");
    check_cache(shape, layer, "store_kv");
    attention_.store_kv(shape, layer, k, v, rows);
  }

  void attention(const KvShape& shape, std::size_t layer, View q, std::span<const KvRow> rows,
                 Activations& out) override {
    check_cache(shape, layer, "attention");
    require(q.rows == rows.size() && q.cols % (shape.head_size * shape.kv_heads) == 0, "attention", "shapes differ");
    attention_.attention(shape, layer, q, rows, dynamic_cast<CudaActivations&>(out), weights_.any_floats());
  }

  void candidates(View logits, std::span<const SamplingRules> rules, std::span<Choice> choices) override {
    start();
    candidates_.run(stream_.stream, logits, rules, choices);
  }

  Rates measure_rates(std::uint64_t) override {
    if (!rates_) {
      start();
      rates_ = cuda::measure_rates(stream_.stream, properties_.multiProcessorCount);
    }
    return *rates_;
  }

 private:
  // Does what was asked for, so that memory can be given back. An error shows where results are read.
  void finish() noexcept {
    try {
      wait();
    } catch (const std::exception&) {
    }
  }

  static CudaActivations& reset(Activations& out, std::size_t rows, std::size_t cols) {
    auto& activations = dynamic_cast<CudaActivations&>(out);
    activations.reset(rows, cols);
    return activations;
  }

  int threads_;
  cudaDeviceProp properties_ = properties_of_current();
  Stream stream_;
  Weights weights_;
  Pass pass_;
  AttentionSteps attention_;
  ProductSteps products_;
  Candidates candidates_;
  PinnedMemory result_;  // what read() returned
  std::optional<Rates> rates_;
};

}  // namespace
}  // namespace cuda

std::unique_ptr<Device> make_cuda_device(int threads) {
  if (threads < 1)
    throw base::Error("threads", std::to_string(threads) + " is not a number of threads", "give at least 1");
  std::string why;
  if (!cuda_available(&why)) throw base::Error(base::ErrorKind::Resource, "--device cuda", why, "use --device cpu");
  return std::make_unique<cuda::CudaDevice>(threads);
}

}  // namespace compute
