// How fast a GPU reads the weights of SmolLM3-3B (Q4_K_M) when it generates: the products of all 36 layers and the
// output head on random weights of their true shapes, as one CUDA graph; then each kind of product by itself.
// Everything is checked first against a plain kernel that multiplies in float.
//
//   nvcc -std=c++20 -O3 --expt-relaxed-constexpr -arch=sm_90a -Isrc -o cuda_decode_bench
//     bench/cuda_decode_bench.cu src/compute/cuda/multiply_few.cu src/compute/cuda/few_plan.cpp src/base/error.cpp
//
// Attention and the choice of a token are left out: tokens/s are an upper bound for the program's.
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "compute/cuda/launch.h"
#include "compute/cuda/products.h"

namespace compute::cuda {
namespace {

constexpr std::size_t layers = 36;
constexpr std::size_t hidden_size = 2048;
constexpr std::size_t kv_size = 512;
constexpr std::size_t intermediate_size = 11008;
constexpr std::size_t vocabulary = 128256;
constexpr float epsilon = 1e-6F;

__host__ __device__ std::uint32_t random_bits(std::uint64_t n) {
  n = (n + 0x9e3779b97f4a7c15ULL) * 0xbf58476d1ce4e5b9ULL;
  n = (n ^ n >> 29) * 0x94d049bb133111ebULL;
  return static_cast<std::uint32_t>(n >> 32);
}

// Random weights, word by word; scales between 2^-9 and 2^-8, minima 8 times as large.
__global__ void fill_weights(std::uint32_t* words, std::size_t count, Format format, std::uint64_t seed) {
  const std::size_t tile_words = tile_bytes(format) / 4;
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < count;
       i += std::size_t{gridDim.x} * blockDim.x) {
    const std::uint32_t bits = random_bits(seed + i);
    const std::size_t at = i % tile_words;
    std::uint32_t word = bits;
    if (format == Format::F16) word = (bits & 0x83ff83ff) | 0x20002000;
    if (format == Format::Q4 && at >= 128) word = (bits & 0x03ff03ff) | 0x24001800;
    if (format == Format::Q6 && at >= 192) word = (bits & 0x03ff03ff) | 0x18001800;
    words[i] = word;
  }
}

__global__ void fill_floats(float* x, std::size_t count, float middle, float extent, std::uint64_t seed) {
  const std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x;
  if (i < count) x[i] = middle + extent * (static_cast<float>(random_bits(seed + i) % 65536) / 32768.0F - 1.0F);
}

__global__ void fill_halves(__half* x, std::size_t count, std::uint64_t seed) {
  const std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x;
  if (i < count) x[i] = __float2half(static_cast<float>(random_bits(seed + i) % 65536) / 32768.0F - 1.0F);
}

__device__ float half_at(const std::byte* at) { return __half2float(*reinterpret_cast<const __half*>(at)); }

// One weight, as packed.h says.
__device__ float weight_at(const PackedMatrix& w, std::size_t row, std::size_t col) {
  const std::size_t tiles = (w.cols + tile_cols - 1) / tile_cols;
  const std::byte* tile = w.data + (row / tile_rows * tiles + col / tile_cols) * tile_bytes(w.format);
  const std::size_t r = row % tile_rows;
  const std::size_t c = col % tile_cols;
  const std::size_t step = c / 16;
  const std::size_t pair = r / 8 + c % 16 / 8 * 2;
  const std::size_t lane = r % 8 * 4 + c % 8 / 2;
  if (w.format == Format::F16) return half_at(tile + step * 512 + lane * 16 + pair * 4 + c % 2 * 2);
  const std::uint32_t word = *reinterpret_cast<const std::uint32_t*>(tile + lane * 16 + step * 4);
  const std::uint32_t low = word >> (16 * (c % 2) + 4 * pair) & 15;
  const std::size_t scales = r % 8 * 2 + r / 8;
  if (w.format == Format::Q4) {
    const std::byte* at = tile + 512 + (scales * 2 + c / 32) * 4;
    return half_at(at) * static_cast<float>(low) - half_at(at + 2);
  }
  const std::uint32_t above = *reinterpret_cast<const std::uint32_t*>(tile + 512 + lane * 8 + step / 2 * 4);
  const std::uint32_t high = above >> (16 * (c % 2) + 8 * (step % 2) + 4 * (pair % 2) + 2 * (pair / 2)) & 3;
  return half_at(tile + 768 + (scales * 4 + c / 16) * 2) * (static_cast<float>(low | high << 4) - 32);
}

// y = x · weightᵀ for x in float, a warp to a number; x's rows w.cols apart, y's w.rows.
__global__ void reference_product(PackedMatrix w, const float* x, float* y) {
  const std::size_t row = blockIdx.x;
  const std::size_t activation = blockIdx.y;
  double sum = 0;
  for (std::size_t c = threadIdx.x; c < w.cols; c += 32) {
    sum += static_cast<double>(weight_at(w, row, c) * x[activation * w.cols + c]);
  }
  for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(~0U, sum, bits);
  if (threadIdx.x == 0) y[activation * w.rows + row] = static_cast<float>(sum);
}

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) : count_(count) { check(cudaMalloc(&data_, count * sizeof(T)), "memory"); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { cudaFree(data_); }

  T* data() const { return data_; }
  std::size_t size() const { return count_; }
  std::vector<T> read() const {
    std::vector<T> values(count_);
    check(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost), "copy");
    return values;
  }
  void write(const std::vector<T>& values) {
    check(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), "copy");
  }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

struct Layer {
  PackedMatrix q, k, v, o, gate, up, down;
};

// Half the layers have v and down in Q6, as llama.cpp chooses them for Q4_K_M.
bool more_bits(std::size_t layer) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

class Model {
 public:
  Model() {
    for (std::size_t i = 0; i < layers; ++i) {
      const Format large = more_bits(i) ? Format::Q6 : Format::Q4;
      layer_.push_back({add(Format::Q4, hidden_size, hidden_size), add(Format::Q4, kv_size, hidden_size),
                        add(large, kv_size, hidden_size), add(Format::Q4, hidden_size, hidden_size),
                        add(Format::Q4, intermediate_size, hidden_size),
                        add(Format::Q4, intermediate_size, hidden_size), add(large, hidden_size, intermediate_size)});
    }
    head_ = add(Format::Q6, vocabulary, hidden_size);
    check(cudaMalloc(&memory_, bytes_), "memory for the weights");
    for (Layer& l : layer_) {
      for (PackedMatrix* m : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) place(*m);
    }
    place(head_);
  }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  ~Model() { cudaFree(memory_); }

  const Layer& layer(std::size_t i) const { return layer_[i]; }
  const PackedMatrix& head() const { return head_; }
  std::size_t bytes() const { return bytes_; }

 private:
  PackedMatrix add(Format format, std::size_t rows, std::size_t cols) {
    const PackedMatrix matrix{format, rows, cols, nullptr};
    bytes_ += round_up(matrix.bytes(), 256);
    return matrix;
  }
  void place(PackedMatrix& matrix) {
    std::byte* at = memory_ + placed_;
    placed_ += round_up(matrix.bytes(), 256);
    fill_weights<<<1024, 256>>>(reinterpret_cast<std::uint32_t*>(at), matrix.bytes() / 4, matrix.format, placed_);
    matrix.data = at;
  }

  std::vector<Layer> layer_;
  PackedMatrix head_;
  std::byte* memory_ = nullptr;
  std::size_t bytes_ = 0;
  std::size_t placed_ = 0;
};

struct State {
  DeviceArray<float> x{few_rows * hidden_size};
  DeviceArray<float> gain{hidden_size};
  DeviceArray<float> q{few_rows * hidden_size};
  DeviceArray<float> k{few_rows * kv_size};
  DeviceArray<float> v{few_rows * kv_size};
  DeviceArray<__half> attended{few_rows * hidden_size};
  DeviceArray<__half> hidden{few_rows * intermediate_size};
  DeviceArray<float> logits{few_rows * vocabulary};

  State() {
    fill_floats<<<64, 256>>>(x.data(), x.size(), 0, 1, 1);
    fill_floats<<<8, 256>>>(gain.data(), gain.size(), 1, 0.25F, 2);
    fill_halves<<<64, 256>>>(attended.data(), attended.size(), 3);
    fill_halves<<<344, 256>>>(hidden.data(), hidden.size(), 4);
  }
};

class Products {
 public:
  Products(const Model& model, const State& state, std::size_t rows, cudaStream_t stream)
      : model_(model), s_(state), rows_(rows), stream_(stream) {}

  void qkv(std::size_t layer) const {
    const Layer& l = model_.layer(layer);
    const OutputProduct products[] = {
        {l.q, s_.q.data(), hidden_size, false}, {l.k, s_.k.data(), kv_size, false}, {l.v, s_.v.data(), kv_size, false}};
    multiply_few(stream_, normed(), products);
  }
  void o(std::size_t layer) const {
    const OutputProduct product{model_.layer(layer).o, s_.x.data(), hidden_size, true};
    multiply_few(stream_, Input{rows_, s_.attended.data(), hidden_size}, std::span(&product, 1), 1);
  }
  void gate_up(std::size_t layer) const {
    swiglu_few(stream_, normed(), model_.layer(layer).gate, model_.layer(layer).up, s_.hidden.data(),
               intermediate_size);
  }
  void down(std::size_t layer) const {
    const OutputProduct product{model_.layer(layer).down, s_.x.data(), hidden_size, true};
    multiply_few(stream_, Input{rows_, s_.hidden.data(), intermediate_size}, std::span(&product, 1), hidden_divisor);
  }
  void head() const {
    const OutputProduct product{model_.head(), s_.logits.data(), vocabulary, false};
    multiply_few(stream_, normed(), std::span(&product, 1));
  }
  void token() const {
    for (std::size_t i = 0; i < layers; ++i) {
      qkv(i);
      o(i);
      gate_up(i);
      down(i);
    }
    head();
  }

 private:
  NormInput normed() const { return {rows_, hidden_size, s_.x.data(), hidden_size, s_.gain.data(), epsilon}; }

  const Model& model_;
  const State& s_;
  std::size_t rows_;
  cudaStream_t stream_;
};

// Seconds that what `work` starts takes, as a graph, on average of `replays`.
double time_graph(cudaStream_t stream, int replays, const std::function<void()>& work) {
  cudaGraph_t graph{};
  cudaGraphExec_t executable{};
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "capture");
  work();
  check(cudaStreamEndCapture(stream, &graph), "capture");
  check(cudaGraphInstantiate(&executable, graph, 0), "graph");
  cudaEvent_t begin{};
  cudaEvent_t end{};
  check(cudaEventCreate(&begin), "event");
  check(cudaEventCreate(&end), "event");
  for (int i = 0; i < 3; ++i) check(cudaGraphLaunch(executable, stream), "graph");
  check(cudaEventRecord(begin, stream), "event");
  for (int i = 0; i < replays; ++i) check(cudaGraphLaunch(executable, stream), "graph");
  check(cudaEventRecord(end, stream), "event");
  check(cudaStreamSynchronize(stream), "run");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, begin, end), "event");
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  return static_cast<double>(milliseconds) / 1e3 / replays;
}

std::vector<float> to_floats(const std::vector<__half>& halves) {
  std::vector<float> floats;
  for (const __half h : halves) floats.push_back(__half2float(h));
  return floats;
}

// What a product's kernel takes: the norm's result rounded to halves.
std::vector<float> norm(const std::vector<float>& x, const std::vector<float>& gain) {
  std::vector<float> out(x.size());
  for (std::size_t row = 0; row < x.size() / hidden_size; ++row) {
    double squares = 0;
    for (std::size_t c = 0; c < hidden_size; ++c) {
      const double v = x[row * hidden_size + c];
      squares += v * v;
    }
    const double scale = 1 / std::sqrt(squares / hidden_size + epsilon);
    for (std::size_t c = 0; c < hidden_size; ++c) {
      const std::size_t at = row * hidden_size + c;
      out[at] = __half2float(__float2half(static_cast<float>(x[at] * scale * gain[c])));
    }
  }
  return out;
}

std::vector<float> reference(const PackedMatrix& w, std::vector<float> x, std::size_t rows) {
  x.resize(rows * w.cols);
  DeviceArray<float> input(x.size());
  input.write(x);
  DeviceArray<float> y(rows * w.rows);
  reference_product<<<dim3(static_cast<unsigned>(w.rows), static_cast<unsigned>(rows)), 32>>>(w, input.data(),
                                                                                              y.data());
  check(cudaDeviceSynchronize(), "reference");
  return y.read();
}

bool all_agree = true;

// `got` has at least as many numbers.
void compare(const char* what, const std::vector<float>& got, const std::vector<float>& expected, double bound) {
  double squares = 0;
  double largest = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    squares += static_cast<double>(expected[i]) * expected[i];
    const double difference = std::abs(static_cast<double>(got[i]) - expected[i]);
    largest = std::isnan(difference) ? INFINITY : std::max(largest, difference);
  }
  const double relative = largest / std::sqrt(squares / static_cast<double>(expected.size()));
  const bool agrees = relative < bound;
  all_agree = all_agree && agrees;
  std::printf("  %-8s largest difference %.1e of the root mean square%s\n", what, relative, agrees ? "" : "  WRONG");
}

void check_products(const Model& model, State& state, std::size_t rows) {
  std::printf("%zu rows\n", rows);
  const Products products(model, state, rows, nullptr);
  const std::vector<float> gain = state.gain.read();
  for (const std::size_t layer : {std::size_t{0}, layers / 8}) {
    const Layer& l = model.layer(layer);
    const std::vector<float> before = state.x.read();
    const std::vector<float> x = norm(before, gain);
    products.qkv(layer);
    compare("q", state.q.read(), reference(l.q, x, rows), 1e-3);
    compare("k", state.k.read(), reference(l.k, x, rows), 1e-3);
    compare("v", state.v.read(), reference(l.v, x, rows), 1e-3);
    products.o(layer);
    std::vector<float> sum = reference(l.o, to_floats(state.attended.read()), rows);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += before[i];
    const std::vector<float> after = state.x.read();
    compare("o", after, sum, 1e-4);
    const std::vector<float> y = norm(after, gain);
    products.gate_up(layer);
    std::vector<float> hidden = reference(l.gate, y, rows);
    const std::vector<float> up = reference(l.up, y, rows);
    for (std::size_t i = 0; i < hidden.size(); ++i) {
      hidden[i] = hidden[i] / (1 + std::exp(-hidden[i])) * up[i] / hidden_divisor;
    }
    compare("gate, up", to_floats(state.hidden.read()), hidden, 1e-2);
    sum = reference(l.down, to_floats(state.hidden.read()), rows);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = after[i] + hidden_divisor * sum[i];
    products.down(layer);
    compare("down", state.x.read(), sum, 1e-4);
  }
  products.head();
  compare("head", state.logits.read(), reference(model.head(), norm(state.x.read(), gain), rows), 1e-3);
}

void report(const char* what, double seconds, std::size_t bytes) {
  std::printf("  %-8s %8.2f us  %6.0f GB/s\n", what, seconds * 1e6, static_cast<double>(bytes) / seconds / 1e9);
}

int run() {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0), "device");
  std::printf("%s, %d multiprocessors\n", properties.name, properties.multiProcessorCount);
  cudaStream_t stream{};
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");

  const Model model;
  State state;
  check(cudaDeviceSynchronize(), "weights");
  {
    DeviceArray<std::byte> from(std::size_t{1} << 30);
    DeviceArray<std::byte> to(from.size());
    const double seconds = time_graph(stream, 10, [&] {
      check(cudaMemcpyAsync(to.data(), from.data(), from.size(), cudaMemcpyDeviceToDevice, stream), "copy");
    });
    std::printf("copy: %.0f GB/s read and written\n", 2.0 * static_cast<double>(from.size()) / seconds / 1e9);
  }

  for (const std::size_t rows : {1, 3, 8}) check_products(model, state, rows);

  for (const std::size_t rows : {1, 2, 4, 8}) {
    const Products products(model, state, rows, stream);
    const double token = time_graph(stream, 50, [&] { products.token(); });
    std::printf("%zu rows: %.1f us, %.0f tokens/s, %.0f GB/s of %.2f GB\n", rows, token * 1e6,
                static_cast<double>(rows) / token, static_cast<double>(model.bytes()) / token / 1e9,
                static_cast<double>(model.bytes()) / 1e9);
    const auto each = [&](const char* what, void (Products::*product)(std::size_t) const, auto bytes) {
      std::size_t sum = 0;
      for (std::size_t i = 0; i < layers; ++i) sum += bytes(model.layer(i));
      const double seconds = time_graph(stream, 20, [&] {
        for (std::size_t i = 0; i < layers; ++i) (products.*product)(i);
      });
      report(what, seconds / layers, sum / layers);
    };
    each("qkv", &Products::qkv, [](const Layer& l) { return l.q.bytes() + l.k.bytes() + l.v.bytes(); });
    each("o", &Products::o, [](const Layer& l) { return l.o.bytes(); });
    each("gate, up", &Products::gate_up, [](const Layer& l) { return l.gate.bytes() + l.up.bytes(); });
    each("down", &Products::down, [](const Layer& l) { return l.down.bytes(); });
    report("head", time_graph(stream, 20, [&] { products.head(); }), model.head().bytes());
  }
  check(cudaStreamDestroy(stream), "stream");
  return all_agree ? 0 : 1;
}

}  // namespace
}  // namespace compute::cuda

int main() {
  try {
    return compute::cuda::run();
  } catch (const base::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
