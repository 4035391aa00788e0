// Times attention on the GPU on random data, and holds it against attend_plain(): SmolLM3-3B's 16 query heads, 4
// key/value heads and heads of 128. Prints for each case the time of one call, what of memory's or the processors'
// speed that is, and the largest error as a share of the largest value; ends with 1 if one is too large.
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "compute/cuda/attention.h"
#include "compute/cuda/launch.h"
#include "compute/cuda/ptx.h"

namespace compute::cuda {
namespace {

constexpr std::size_t heads = 16;
constexpr std::size_t kv_heads = 4;
constexpr std::size_t head_size = 128;
constexpr std::size_t cols = heads * head_size;
constexpr std::size_t kv_cols = kv_heads * head_size;
// Layers are taken in turn, so that none is found in the L2 cache.
constexpr std::size_t wanted_cache_bytes = 600'000'000;
constexpr double decode_bound = 2e-3;  // halves hold the outputs
constexpr double prompt_bound = 5e-3;

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) : count_(std::max<std::size_t>(count, 1)) {
    check(cudaMalloc(reinterpret_cast<void**>(&data_), count_ * sizeof(T)), "memory");
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    check(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), "copy");
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { cudaFree(data_); }

  T* data() const { return data_; }
  std::size_t size() const { return count_; }
  std::vector<T> host() const {
    std::vector<T> values(count_);
    check(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost), "copy");
    return values;
  }

 private:
  std::size_t count_;
  T* data_ = nullptr;
};

// About normal: the sum of four uniform numbers from a hash of the index.
__device__ float noise(std::size_t index) {
  std::uint64_t x = index * 0x9E3779B97F4A7C15ULL + 0x123456789ULL;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ x >> 27) * 0x94D049BB133111EBULL;
  x ^= x >> 31;
  float sum = 0;
  for (int i = 0; i < 4; ++i) sum += static_cast<float>(x >> 16 * i & 0xFFFF) / 65536.0F - 0.5F;
  return sum * 1.7320508F;
}
template <typename T>
__global__ void fill_kernel(T* to, std::size_t count) {
  ptx::wait_for_dependencies();
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < count;
       i += std::size_t{gridDim.x} * blockDim.x) {
    to[i] = static_cast<T>(noise(i));
  }
}
template <typename T>
void fill(T* to, std::size_t count) {
  launch(nullptr, dim3(2048), dim3(256), 0, fill_kernel<T>, to, count);
}

// Sequences of one length, in pages whose order in memory is random.
class Cache {
 public:
  Cache(std::size_t sequences, std::size_t length)
      : pages_per_sequence_((length + page_positions - 1) / page_positions),
        shape_{.layers = 1, .kv_heads = kv_heads, .head_size = head_size} {
    const std::size_t pages = sequences * pages_per_sequence_;
    shape_.layers = std::clamp<std::size_t>(wanted_cache_bytes / (pages * shape_.page_bytes()), 1, 64);
    memory_ = std::make_unique<DeviceArray<__half>>(pages * shape_.page_bytes() / sizeof(__half));
    fill(memory_->data(), memory_->size());
    std::vector<std::byte*> table;
    for (std::size_t i = 0; i < pages; ++i) {
      table.push_back(reinterpret_cast<std::byte*>(memory_->data()) + i * shape_.page_bytes());
    }
    std::mt19937 random(1);
    std::shuffle(table.begin(), table.end(), random);
    pages_ = std::make_unique<DeviceArray<std::byte*>>(table);
  }

  const KvShape& shape() const { return shape_; }
  std::byte* const* pages() const { return pages_->data(); }
  std::size_t pages_per_sequence() const { return pages_per_sequence_; }

 private:
  std::size_t pages_per_sequence_;
  KvShape shape_;
  std::unique_ptr<DeviceArray<__half>> memory_;
  std::unique_ptr<DeviceArray<std::byte*>> pages_;
};

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "event"); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { cudaEventDestroy(event_); }
  operator cudaEvent_t() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// Microseconds of one call: `calls` of them as a graph, the best of `runs` after one to warm up.
double time_of(cudaStream_t stream, std::size_t calls, int runs, const std::function<void(std::size_t)>& call) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  check(cudaDeviceSynchronize(), "what other streams prepare");
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  for (std::size_t i = 0; i < calls; ++i) call(i);
  check(cudaStreamEndCapture(stream, &graph), "capture");
  check(cudaGraphInstantiate(&executable, graph, 0), "graph");
  const Event begin;
  const Event end;
  double best = INFINITY;
  for (int run = 0; run <= runs; ++run) {
    check(cudaEventRecord(begin, stream), "event");
    check(cudaGraphLaunch(executable, stream), "graph");
    check(cudaEventRecord(end, stream), "event");
    check(cudaEventSynchronize(end), "run");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end), "event");
    if (run > 0) best = std::min(best, 1e3 * static_cast<double>(milliseconds) / static_cast<double>(calls));
  }
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  return best;
}

// The largest difference as a share of the largest value; NaN if there is one.
double error_of(const std::vector<__half>& got, const std::vector<float>& want, std::size_t first, std::size_t count) {
  double largest = 0;
  double value = 0;
  for (std::size_t i = first; i < first + count; ++i) {
    const double difference = std::abs(static_cast<double>(__half2float(got[i])) - static_cast<double>(want[i]));
    if (std::isnan(difference)) return difference;
    largest = std::max(largest, difference);
    value = std::max(value, std::abs(static_cast<double>(want[i])));
  }
  return largest / value;
}

bool report(double error, double bound) {
  const bool good = error <= bound;
  std::printf("  error %.1e%s\n", error, good ? "" : "  TOO LARGE");
  std::fflush(stdout);
  return good;
}

std::vector<float> turned(std::vector<float> x, const std::vector<float>& cos_sin) {
  for (std::size_t i = 0; i < x.size(); i += 2) {
    const float* pair = cos_sin.data() + i / cols * head_size + i % head_size;
    const float a = x[i];
    const float b = x[i + 1];
    x[i] = a * pair[0] - b * pair[1];
    x[i + 1] = b * pair[0] + a * pair[1];
  }
  return x;
}

bool decode(cudaStream_t stream, std::size_t rows, std::size_t depth, const std::vector<std::size_t>& splits) {
  const Cache cache(rows, depth);
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  const auto random_values = [&](std::size_t count) {
    std::vector<float> values(count);
    for (float& x : values) x = normal(random);
    return values;
  };
  std::vector<float> cos_sin;
  for (std::size_t i = 0; i < rows * head_size / 2; ++i) {
    const float angle = normal(random);
    cos_sin.push_back(std::cos(angle));
    cos_sin.push_back(std::sin(angle));
  }
  const std::vector<float> host_q = random_values(rows * cols);
  const DeviceArray<float> q(host_q);
  const DeviceArray<float> turned_q(turned(host_q, cos_sin));
  const DeviceArray<float> k(random_values(rows * kv_cols));
  const DeviceArray<float> v(random_values(rows * kv_cols));
  const DeviceArray<float> turns(cos_sin);
  const DeviceArray<std::uint32_t> position(std::vector<std::uint32_t>(rows, static_cast<std::uint32_t>(depth - 1)));
  std::vector<std::uint32_t> first;
  for (std::size_t i = 0; i < rows; ++i) first.push_back(static_cast<std::uint32_t>(i * cache.pages_per_sequence()));
  const DeviceArray<std::uint32_t> first_page(first);
  AttentionInput input{.shape = cache.shape(),
                       .layer = 0,
                       .rows = rows,
                       .heads = heads,
                       .q = q.data(),
                       .q_stride = cols,
                       .table = {.position = position.data(), .first_page = first_page.data(), .pages = cache.pages()}};
  const NewKeys fresh{.k = k.data(), .k_stride = kv_cols, .v = v.data(), .v_stride = kv_cols, .cos_sin = turns.data()};
  const DeviceArray<__half> out(rows * cols);
  const DeviceArray<float> want(rows * cols);
  bool good = true;
  for (const std::size_t split : splits) {
    const DeviceArray<std::byte> workspace(decode_workspace_bytes(rows, heads, head_size, split));
    check(cudaMemset(workspace.data(), 0, workspace.size()), "memory");
    check(cudaMemset(out.data(), 0xFF, out.size() * sizeof(__half)), "memory");
    const AttentionOutput output{.halves = out.data(), .half_stride = cols};
    const double bytes = 4.0 * static_cast<double>(rows * depth * kv_cols);
    const double estimate = 4 + bytes / 3e6;
    const auto calls = static_cast<std::size_t>(std::clamp(3e4 / estimate, 4.0, 256.0));
    const double microseconds = time_of(stream, calls, 5, [&](std::size_t i) {
      input.layer = (i + 1) % cache.shape().layers;  // ends with layer 0
      if (i + 1 == calls) input.layer = 0;
      attend_decode(stream, input, fresh, output, split, workspace.data());
    });
    AttentionInput plain = input;
    plain.layer = 0;
    plain.q = turned_q.data();
    attend_plain(stream, plain, {.floats = want.data(), .float_stride = cols});
    check(cudaStreamSynchronize(stream), "run");
    std::printf("decode  rows %3zu  depth %6zu  splits %3zu: %9.2f us  %7.0f GB/s", rows, depth, split, microseconds,
                bytes / microseconds / 1e3);
    good &= report(error_of(out.host(), want.host(), 0, rows * cols), decode_bound);
  }
  return good;
}

bool prompt(cudaStream_t stream, std::size_t rows, std::size_t depth) {
  const Cache cache(1, depth + rows);
  const DeviceArray<float> q(rows * cols);
  fill(q.data(), q.size());
  std::vector<std::uint32_t> positions;
  for (std::size_t i = 0; i < rows; ++i) positions.push_back(static_cast<std::uint32_t>(depth + i));
  const DeviceArray<std::uint32_t> position(positions);
  const DeviceArray<std::uint32_t> first_page(std::vector<std::uint32_t>(rows, 0));
  std::vector<AttentionTile> list;
  for (std::size_t i = 0; i < rows; i += tile_positions) {
    list.push_back({static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(std::min(tile_positions, rows - i))});
  }
  std::reverse(list.begin(), list.end());  // the longest first
  const DeviceArray<AttentionTile> tiles(list);
  AttentionInput input{.shape = cache.shape(),
                       .layer = 0,
                       .rows = rows,
                       .heads = heads,
                       .q = q.data(),
                       .q_stride = cols,
                       .table = {.position = position.data(), .first_page = first_page.data(), .pages = cache.pages()}};
  const DeviceArray<__half> out(rows * cols);
  check(cudaMemset(out.data(), 0xFF, out.size() * sizeof(__half)), "memory");
  const AttentionOutput output{.halves = out.data(), .half_stride = cols};
  const double pairs = static_cast<double>(rows) * (static_cast<double>(depth) + static_cast<double>(rows) / 2);
  const double operations = 4 * pairs * static_cast<double>(cols);
  const auto calls = static_cast<std::size_t>(std::clamp(3e4 / (5 + operations / 4e8), 2.0, 64.0));
  const double microseconds = time_of(stream, calls, 5, [&](std::size_t i) {
    input.layer = i + 1 == calls ? 0 : (i + 1) % cache.shape().layers;
    attend_prompt(stream, input, tiles.data(), list.size(), output);
  });
  // The first and the last rows suffice.
  const std::size_t checked = std::min<std::size_t>(rows, 256);
  const DeviceArray<float> want(rows * cols);
  const std::vector<__half> got = out.host();
  double error = 0;
  for (const std::size_t first : {std::size_t{0}, rows - checked}) {
    AttentionInput part = input;
    part.layer = 0;
    part.rows = checked;
    part.q += first * cols;
    part.table.position += first;
    part.table.first_page += first;
    attend_plain(stream, part, {.floats = want.data() + first * cols, .float_stride = cols});
    check(cudaStreamSynchronize(stream), "run");
    const double of_part = error_of(got, want.host(), first * cols, checked * cols);
    error = std::isnan(of_part) ? of_part : std::max(error, of_part);
  }
  std::printf("prompt  rows %5zu  after %6zu: %9.1f us  %6.1f TFLOP/s", rows, depth, microseconds,
              operations / microseconds / 1e6);
  return report(error, prompt_bound);
}

int run() {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0), "device");
  std::printf("%s, %d multiprocessors\n", properties.name, properties.multiProcessorCount);
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  bool good = true;
  for (const std::size_t depth : {64, 200, 512}) good &= decode(stream, 1, depth, {1, 8});
  good &= decode(stream, 1, 4096, {8, 33, 66});
  good &= decode(stream, 1, 32768, {16, 33, 66, 132});
  good &= decode(stream, 64, 64, {1});
  good &= decode(stream, 64, 4096, {1, 2});
  good &= decode(stream, 64, 32768, {1, 2});
  good &= prompt(stream, 128, 0);
  good &= prompt(stream, 2048, 0);
  good &= prompt(stream, 2048, 30720);
  good &= prompt(stream, 8192, 0);
  good &= prompt(stream, 32768, 0);
  return good ? 0 : 1;
}

}  // namespace
}  // namespace compute::cuda

int main() {
  try {
    return compute::cuda::run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cuda_attention_bench: %s\n", error.what());
    return 2;
  }
}
