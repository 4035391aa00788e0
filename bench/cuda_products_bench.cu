// Times the products of activations with packed weights at the shapes of SmolLM3-3B, and checks some rows of each
// result against plain sums in float. Prints for each product and number of rows: µs, TFLOP/s, GB/s of weights, and the
// largest error as a share of the largest result.
//
// With the argument "plans" it also times every way to cut the work (multiply_many.h) where rows are few, and prints
// the five fastest beside the one that the kernel's model chose.
//
// Every product runs over several copies of its weights, as many as the L2 cache cannot hold, from a CUDA graph, so
// that neither that cache nor the time to start kernels flatters or blames it.
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "compute/cuda/launch.h"
#include "compute/cuda/multiply_many.h"

namespace {

using namespace compute::cuda;

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) : count_(count) {
    check(cudaMalloc(&data_, count * sizeof(T)), "cudaMalloc");
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  T* data() const { return data_; }
  std::size_t count() const { return count_; }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

__device__ std::uint32_t random_bits(std::uint64_t i) {
  i = (i + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
  i = (i ^ (i >> 27)) * 0x94d049bb133111eb;
  return static_cast<std::uint32_t>(i >> 32);
}
// Between -1 and 1.
__device__ float random_float(std::uint64_t i) { return static_cast<float>(random_bits(i)) * 0x1p-31F - 1; }

// Tiles of random bits with scales that give weights of about ±0.05.
__global__ void fill_tiles(Format format, std::uint32_t* words, std::size_t count) {
  const std::size_t tile_words = (format == Format::Q4 ? 640 : format == Format::Q6 ? 896 : 2048) / 4;
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < count;
       i += std::size_t{gridDim.x} * blockDim.x) {
    const std::size_t word = i % tile_words;
    const float a = random_float(2 * i);
    const float b = random_float(2 * i + 1);
    __half2 halves = __floats2half2_rn(0.05F * a, 0.05F * b);
    if (format == Format::Q4) halves = __floats2half2_rn(0.006F + 0.002F * a, 0.045F + 0.01F * b);
    if (format == Format::Q6) halves = __floats2half2_rn(0.0015F * a, 0.0015F * b);
    const bool bits = (format == Format::Q4 && word < 128) || (format == Format::Q6 && word < 192);
    std::uint32_t value = random_bits(3 * i);
    if (!bits) memcpy(&value, &halves, sizeof value);
    words[i] = value;
  }
}

__global__ void fill_halves(__half* x, std::size_t count) {
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < count;
       i += std::size_t{gridDim.x} * blockDim.x) {
    x[i] = __float2half(random_float(7 * i + 3));
  }
}

__device__ float half_at(const std::byte* at) {
  __half h;
  memcpy(&h, at, sizeof h);
  return __half2float(h);
}

// Element (row, col) as packed.h says, rounded to binary16.
__device__ float element(Format format, const std::byte* data, std::size_t tiles, unsigned row, unsigned col) {
  const unsigned r = row % 16;
  const unsigned c = col % 64;
  const unsigned step = c / 16;
  const unsigned pair = (r >= 8 ? 1 : 0) + (c % 16 >= 8 ? 2 : 0);
  const unsigned lane = 4 * (r % 8) + c % 8 / 2;
  const unsigned second = c % 2;
  const unsigned scale_row = r % 8 * 2 + r / 8;
  const std::size_t bytes = format == Format::Q4 ? 640 : format == Format::Q6 ? 896 : 2048;
  const std::byte* tile = data + (row / 16 * tiles + col / 64) * bytes;
  if (format == Format::F16) return half_at(tile + step * 512 + lane * 16 + pair * 4 + second * 2);
  std::uint32_t word;
  memcpy(&word, tile + lane * 16 + step * 4, sizeof word);
  const unsigned low = word >> (16 * second + 4 * pair) & 15;
  float value;
  if (format == Format::Q4) {
    const std::byte* scales = tile + 512 + (scale_row * 2 + c / 32) * 4;
    value = half_at(scales) * static_cast<float>(low) - half_at(scales + 2);
  } else {
    memcpy(&word, tile + 512 + lane * 8 + step / 2 * 4, sizeof word);
    const unsigned high = word >> (16 * second + 8 * (step % 2) + 4 * (pair % 2) + 2 * (pair / 2)) & 3;
    value = half_at(tile + 768 + (scale_row * 4 + step) * 2) * (static_cast<float>(low | high << 4) - 32);
  }
  return __half2float(__float2half(value));
}

// out[i * rows + r] = weight row r times activation row activations[i]; a warp for each.
__global__ void plain_product(Format format, const std::byte* data, unsigned rows, unsigned cols, const __half* x,
                              std::size_t stride, const unsigned* activations, float* out) {
  const unsigned row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  if (row >= rows) return;
  const __half* from = x + activations[blockIdx.y] * stride;
  float sum = 0;
  for (unsigned c = threadIdx.x % 32; c < cols; c += 32) {
    sum += element(format, data, cols / 64, row, c) * __half2float(from[c]);
  }
  for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(~0U, sum, distance);
  if (threadIdx.x % 32 == 0) out[std::size_t{blockIdx.y} * rows + row] = sum;
}

struct Weight {
  const char* name;
  Format format;
  std::size_t rows;
};
struct Case {
  std::string name;
  std::vector<Weight> weights;
  std::size_t cols;
  bool swiglu = false;
};

struct Bench {
  bool plans = false;
  cudaStream_t stream = nullptr;
  std::unique_ptr<DeviceArray<std::byte>> workspace;

  std::vector<float> read(const float* from, std::size_t count) const {
    std::vector<float> values(count);
    check(cudaMemcpy(values.data(), from, count * sizeof(float), cudaMemcpyDeviceToHost), "copy");
    return values;
  }

  std::vector<float> reference(const PackedMatrix& weight, const Input& x,
                               const std::vector<unsigned>& activations) const {
    DeviceArray<unsigned> chosen(activations.size());
    check(cudaMemcpy(chosen.data(), activations.data(), activations.size() * sizeof(unsigned), cudaMemcpyHostToDevice),
          "copy");
    DeviceArray<float> out(activations.size() * weight.rows);
    const dim3 grid(static_cast<unsigned>((weight.rows + 7) / 8), static_cast<unsigned>(activations.size()));
    plain_product<<<grid, 256, 0, stream>>>(weight.format, weight.data, static_cast<unsigned>(weight.rows),
                                            static_cast<unsigned>(weight.cols), x.halves, x.stride, chosen.data(),
                                            out.data());
    check(cudaStreamSynchronize(stream), "plain product");
    return read(out.data(), out.count());
  }

  // µs of one of the launches that `launches` makes.
  double time(int count, const std::function<void()>& launches) const {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t runnable = nullptr;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
    launches();
    check(cudaStreamEndCapture(stream, &graph), "capture");
    check(cudaGraphInstantiate(&runnable, graph, 0), "graph");
    cudaEvent_t begin = nullptr;
    cudaEvent_t end = nullptr;
    check(cudaEventCreate(&begin), "event");
    check(cudaEventCreate(&end), "event");
    float best = 0;
    for (int i = 0; i < 4; ++i) {
      check(cudaEventRecord(begin, stream), "event");
      check(cudaGraphLaunch(runnable, stream), "graph");
      check(cudaEventRecord(end, stream), "event");
      check(cudaEventSynchronize(end), "graph");
      float ms = 0;
      check(cudaEventElapsedTime(&ms, begin, end), "time");
      if (i > 0 && (best == 0 || ms < best)) best = ms;  // the first one warms up
    }
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    cudaGraphExecDestroy(runnable);
    cudaGraphDestroy(graph);
    return static_cast<double>(best) * 1000 / count;
  }

  double run(const Case& test, std::size_t rows) {
    std::size_t bytes = 0;
    std::size_t outputs = 0;
    for (const Weight& weight : test.weights) {
      bytes += PackedMatrix{weight.format, weight.rows, test.cols, nullptr}.bytes();
      outputs += weight.rows;
    }
    const double flops = 2.0 * static_cast<double>(rows * outputs * test.cols);
    const std::size_t copies = std::clamp<std::size_t>((200U << 20) / bytes, 1, 64);
    const int launches =
        static_cast<int>(std::clamp<std::size_t>(static_cast<std::size_t>(4e12 / flops), 4, 2 * copies + 2));

    DeviceArray<__half> x(rows * test.cols);
    fill_halves<<<1024, 256, 0, stream>>>(x.data(), x.count());
    DeviceArray<std::byte> tiles(bytes * copies);
    DeviceArray<float> y(rows * outputs);
    DeviceArray<__half> hidden(test.swiglu ? rows * test.weights[0].rows : 1);
    const Input input{rows, x.data(), test.cols};

    std::vector<std::vector<OutputProduct>> products(copies);
    std::size_t offset = 0;
    for (auto& copy : products) {
      std::size_t column = 0;
      for (const Weight& weight : test.weights) {
        PackedMatrix matrix{weight.format, weight.rows, test.cols, tiles.data() + offset};
        offset += matrix.bytes();
        fill_tiles<<<2048, 256, 0, stream>>>(
            matrix.format, reinterpret_cast<std::uint32_t*>(const_cast<std::byte*>(matrix.data)), matrix.bytes() / 4);
        copy.push_back({matrix, y.data() + column, outputs, false});
        column += weight.rows;
      }
    }
    check(cudaStreamSynchronize(stream), "filling");

    // Other kernels for these products have their place here.
    ManyPlan plan;
    const auto launch_one = [&](std::size_t copy) {
      const auto& of_copy = products[copy];
      if (test.swiglu) {
        swiglu_many(stream, input, of_copy[0].weight, of_copy[1].weight, hidden.data(), test.weights[0].rows,
                    workspace->data(), matrix_instructions(), plan);
#ifdef SMOLLM3_BENCH_FEW
      } else if (rows <= few_rows) {
        multiply_few(stream, input, of_copy, 1);
#endif
      } else {
        multiply_many(stream, input, of_copy, 1, workspace->data(), matrix_instructions(), plan);
      }
    };
    launch_one(0);
    check(cudaStreamSynchronize(stream), test.name.c_str());

    std::vector<unsigned> activations;
    for (std::size_t i = 0; i < std::min<std::size_t>(rows, 12); ++i) {
      activations.push_back(
          static_cast<unsigned>(i * (rows - 1) / std::max<std::size_t>(std::min<std::size_t>(rows, 12) - 1, 1)));
    }
    double largest = 0;
    double error = 0;
    std::vector<std::vector<float>> expected;
    for (const OutputProduct& product : products[0]) expected.push_back(reference(product.weight, input, activations));
    std::size_t column = 0;
    for (std::size_t i = 0; i < (test.swiglu ? 1 : expected.size()); ++i) {
      const std::size_t count = test.weights[i].rows;
      for (std::size_t a = 0; a < activations.size(); ++a) {
        std::vector<float> got(count);
        if (test.swiglu) {
          std::vector<__half> halves(count);
          check(cudaMemcpy(halves.data(), hidden.data() + activations[a] * count, count * sizeof(__half),
                           cudaMemcpyDeviceToHost),
                "copy");
          std::transform(halves.begin(), halves.end(), got.begin(), [](__half h) { return __half2float(h); });
        } else {
          got = read(y.data() + activations[a] * outputs + column, count);
        }
        for (std::size_t r = 0; r < count; ++r) {
          double wanted = static_cast<double>(expected[i][a * count + r]);
          if (test.swiglu) {
            wanted = wanted / (1 + std::exp(-wanted)) * static_cast<double>(expected[1][a * count + r]) /
                     static_cast<double>(hidden_divisor);
          }
          largest = std::max(largest, std::abs(wanted));
          const double difference = std::abs(static_cast<double>(got[r]) - wanted);
          if (!(difference <= error)) error = difference;  // NaN too
        }
      }
      column += count;
    }

    const auto launch_all = [&] {
      for (int i = 0; i < launches; ++i) launch_one(static_cast<std::size_t>(i) % copies);
    };
    const double us = time(launches, launch_all);
    std::printf("%-28s %5zu %9.1f %8.1f %8.0f   %.1e\n", test.name.c_str(), rows, us, flops / us * 1e-6,
                static_cast<double>(bytes) / us * 1e-3, error / largest);
    if (plans && rows > few_rows && rows <= 512) {
      std::vector<std::pair<double, ManyPlan>> times;
      for (const unsigned tile_rows : {32, 64, 128}) {
        if (rows > 4 * tile_rows) continue;
        for (const unsigned strips : {1, 2}) {
          for (const unsigned splits : {1, 2, 3, 4, 5, 6, 8, 11, 16}) {
            plan = {tile_rows, strips, splits};
            try {
              launch_one(0);
            } catch (const base::Error&) {
              continue;  // cannot be cut so
            }
            times.emplace_back(time(launches, launch_all), plan);
          }
        }
      }
      std::sort(times.begin(), times.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
      for (std::size_t i = 0; i < std::min<std::size_t>(times.size(), 5); ++i) {
        const ManyPlan& of = times[i].second;
        std::printf("    %u rows, %u strips, %u splits: %.1f us\n", of.rows, of.strips, of.splits, times[i].first);
      }
    }
    std::fflush(stdout);
    return us;
  }
};

}  // namespace

int main(int argc, char** argv) {
  try {
    Bench bench;
    bench.plans = argc > 1 && std::string(argv[1]) == "plans";
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, 0), "device");
    check(cudaStreamCreateWithFlags(&bench.stream, cudaStreamNonBlocking), "stream");
    bench.workspace = std::make_unique<DeviceArray<std::byte>>(many_workspace_bytes());
    check(cudaMemset(bench.workspace->data(), 0, bench.workspace->count()), "workspace");
    std::printf("%s\n%-28s %5s %9s %8s %8s   %s\n", properties.name, "product", "rows", "us", "TFLOP/s", "GB/s",
                "error");
    const std::vector<Case> cases = {
        {"q, k, v (Q4, Q4, Q6)", {{"q", Format::Q4, 2048}, {"k", Format::Q4, 512}, {"v", Format::Q6, 512}}, 2048},
        {"o (Q4)", {{"o", Format::Q4, 2048}}, 2048},
        {"gate, up, SwiGLU (Q4)", {{"gate", Format::Q4, 11008}, {"up", Format::Q4, 11008}}, 2048, true},
        {"down (Q4)", {{"down", Format::Q4, 2048}}, 11008},
        {"down (Q6)", {{"down", Format::Q6, 2048}}, 11008},
        {"down (F16)", {{"down", Format::F16, 2048}}, 11008},
        {"head (Q6)", {{"head", Format::Q6, 128256}}, 2048},
    };
    for (const std::size_t rows : {
#ifdef SMOLLM3_BENCH_FEW
             1, 2, 4, 8,
#endif
             16, 64, 128, 512, 2048}) {
      double layer = 0;
      for (const Case& test : cases) {
        const double us = bench.run(test, rows);
        if (test.name.starts_with("down")) {
          layer += test.name == "down (F16)" ? 0 : us / 2;
        } else if (!test.name.starts_with("head")) {
          layer += us;
        }
      }
      std::printf("%-28s %5zu %9.1f\n\n", "a layer, down Q4 and Q6 mixed", rows, layer);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
