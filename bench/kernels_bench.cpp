// Speed of the compute kernels at the shapes of SmolLM3-3B, beside the machine's limit for reading memory.
//   kernels_bench [--benchmark_filter=…]     SMOLLM3_CPU and SMOLLM3_THREADS (default: all processors) are heeded.
// Weights are taken in turn from a ring of copies larger than any cache, as in a forward pass; SMOLLM3_RING_MB=8 makes
// it fit into a cache, which shows what the arithmetic alone would reach. `bytes_per_second`
// counts weight bytes, `products` multiply-adds per second.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/memory.h"
#include "base/resources.h"
#include "base/thread_pool.h"
#include "compute/compute.h"

namespace {

using compute::Matrix;

int from_environment(const char* name, int otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::atoi(value) : otherwise;
}

const std::size_t ring_bytes = static_cast<std::size_t>(from_environment("SMOLLM3_RING_MB", 400)) << 20;

int thread_count() { return from_environment("SMOLLM3_THREADS", base::usable_processors()); }

// Random bytes, shared by all weights: what a kernel does hardly depends on the values, so long as no factor is a NaN
// or subnormal. Bytes with bit 6 clear make every binary16 finite and normal enough.
std::span<const std::byte> ring() {
  static const base::AlignedBuffer<std::byte> bytes = [] {
    base::AlignedBuffer<std::byte> buffer(ring_bytes);
    std::mt19937_64 random(1);
    for (std::size_t i = 0; i < ring_bytes; i += 8) {
      const std::uint64_t word = random() & 0xbfbfbfbfbfbfbfbfULL;
      std::memcpy(buffer.data() + i, &word, 8);
    }
    return buffer;
  }();
  return bytes.span();
}

// Successive matrices of one shape, no two of them overlapping until the ring is used up.
class Weights {
 public:
  Weights(quant::Type type, std::size_t rows, std::size_t cols) : type_(type), rows_(rows), cols_(cols) {
    const auto info = *quant::type_info(type);
    bytes_ = rows * cols / info.block * info.block_bytes;
    ring();  // filled now, not while the first product is timed
  }

  Matrix next() {
    if (at_ + bytes_ > ring_bytes) at_ = 0;
    const Matrix matrix{type_, rows_, cols_, ring().subspan(at_, bytes_)};
    at_ += (bytes_ + 63) / 64 * 64;
    return matrix;
  }

  std::size_t bytes() const { return bytes_; }

 private:
  quant::Type type_;
  std::size_t rows_;
  std::size_t cols_;
  std::size_t bytes_ = 0;
  std::size_t at_ = 0;
};

compute::Buffer random_rows(compute::Device& device, std::size_t rows, std::size_t cols) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::vector<float> x(rows * cols);
  for (float& v : x) v = normal(random);
  compute::Buffer buffer = device.allocate(rows, cols);
  device.write(x, buffer.view());
  return buffer;
}

// What reading memory allows: every thread sums its parts, in vectors, and asks for what follows 4 KB ahead.
void read_memory(benchmark::State& state) {
  typedef std::uint64_t Line __attribute__((vector_size(64)));
  base::ThreadPool pool(thread_count());
  const auto bytes = ring();
  constexpr std::size_t part = 1 << 20;
  std::vector<Line> sums(ring_bytes / part);
  for ([[maybe_unused]] auto _ : state) {
    pool.run(static_cast<int>(sums.size()), [&](int i, int) {
      const std::byte* at = bytes.data() + static_cast<std::size_t>(i) * part;
      Line sum[4] = {};
      for (std::size_t done = 0; done < part; done += sizeof sum, at += sizeof sum) {
        for (std::size_t lane = 0; lane < 4; ++lane) {
          __builtin_prefetch(at + lane * sizeof(Line) + 4096);
          sum[lane] += reinterpret_cast<const Line*>(at)[lane];
        }
      }
      sums[static_cast<std::size_t>(i)] = sum[0] + sum[1] + sum[2] + sum[3];
    });
    benchmark::DoNotOptimize(sums.data());
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * ring_bytes));
}

void count(benchmark::State& state, std::size_t bytes, std::size_t products) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * bytes));
  state.counters["products"] =
      benchmark::Counter(static_cast<double>(products), benchmark::Counter::kIsIterationInvariantRate);
}

void matmul(benchmark::State& state, quant::Type type, std::size_t rows, std::size_t cols,
            compute::Precision precision) {
  const auto device = compute::make_cpu_device(thread_count());
  device->set_precision(precision);
  const auto n = static_cast<std::size_t>(state.range(0));
  Weights weights(type, rows, cols);
  const auto input = device->make_activations(n, cols);
  const compute::Buffer x = random_rows(*device, n, cols);
  const compute::Buffer y = device->allocate(n, rows);
  device->assign(x.view(), *input);
  for ([[maybe_unused]] auto _ : state) {
    const Matrix w = weights.next();
    device->matmul(*input, {{w, y.view()}});
  }
  count(state, weights.bytes(), rows * cols * n);
}

// The feed-forward part of a layer, from norm to residual: gate and up, SwiGLU, down.
void feed_forward(benchmark::State& state, compute::Precision precision) {
  const auto device = compute::make_cpu_device(thread_count());
  device->set_precision(precision);
  const auto n = static_cast<std::size_t>(state.range(0));
  Weights gate(quant::Type::Q4_K, 11008, 2048);
  Weights down(quant::Type::Q4_K, 2048, 11008);
  const auto input = device->make_activations(n, 2048);
  const auto hidden = device->make_activations(n, 11008);
  const std::vector<float> gain(2048, 1.0F);
  const compute::Buffer x = random_rows(*device, n, 2048);
  const compute::Buffer y = device->allocate(n, 2048);
  for ([[maybe_unused]] auto _ : state) {
    const Matrix g = gate.next();
    const Matrix u = gate.next();
    const Matrix d = down.next();
    device->rms_norm(x.view(), gain, 1e-6F, *input);
    device->swiglu(*input, g, u, *hidden);
    device->matmul(*hidden, {{d, y.view(), true}});
  }
  count(state, 2 * gate.bytes() + down.bytes(), std::size_t{3} * 11008 * 2048 * n);
}

// n rows of attention that end at the given depth: the last n positions of one sequence.
void attention(benchmark::State& state, quant::Type type, compute::Precision precision) {
  const auto device = compute::make_cpu_device(thread_count());
  device->set_precision(precision);
  const auto n = static_cast<std::size_t>(state.range(0));
  const auto depth = static_cast<std::size_t>(state.range(1));
  const compute::KvShape shape{.layers = 1, .kv_heads = 4, .head_size = 128, .type = type};
  const std::size_t page_count = (depth + compute::page_positions - 1) / compute::page_positions;
  base::AlignedBuffer<std::byte> memory(page_count * shape.page_bytes());
  std::vector<std::byte*> pages;
  for (std::size_t i = 0; i < page_count; ++i) pages.push_back(memory.data() + i * shape.page_bytes());
  std::vector<compute::KvRow> rows;
  for (std::size_t i = 0; i < n; ++i) rows.push_back({pages, depth - n + i});
  const compute::Buffer q = random_rows(*device, n, 2048);
  const auto out = device->make_activations(n, 2048);
  for ([[maybe_unused]] auto _ : state) device->attention(shape, 0, q.view(), rows, *out);
  count(state, page_count * shape.page_bytes(), n * (depth - n / 2) * 2048 * 2);
}

// What handing out a phase and waiting for its end costs.
void empty_phase(benchmark::State& state) {
  base::ThreadPool pool(thread_count());
  for ([[maybe_unused]] auto _ : state) pool.run(pool.size(), [](int, int) {});
}

void rms_norm(benchmark::State& state) {
  const auto device = compute::make_cpu_device(thread_count());
  const auto n = static_cast<std::size_t>(state.range(0));
  const std::vector<float> gain(2048, 1.0F);
  const compute::Buffer x = random_rows(*device, n, 2048);
  const auto out = device->make_activations(n, 2048);
  for ([[maybe_unused]] auto _ : state) device->rms_norm(x.view(), gain, 1e-6F, *out);
}

void rope(benchmark::State& state) {
  const auto device = compute::make_cpu_device(thread_count());
  const auto n = static_cast<std::size_t>(state.range(0));
  const compute::Buffer x = random_rows(*device, n, 2048);
  const compute::Buffer cos_sin = random_rows(*device, n, 128);
  for ([[maybe_unused]] auto _ : state) device->rope(x.view(), 128, cos_sin.view());
}

// Choosing a token for each of n rows of logits. Peaked: as a trained model's, a few tokens have nearly all the weight.
// Flat: as random weights', where tens of thousands of tokens are kept.
enum class Logits { Peaked, Flat };
void candidates(benchmark::State& state, Logits shape, const compute::SamplingRules& rules) {
  constexpr std::size_t vocabulary = 128256;
  const auto device = compute::make_cpu_device(thread_count());
  const auto n = static_cast<std::size_t>(state.range(0));
  const compute::Buffer logits = random_rows(*device, n, vocabulary);
  for (std::size_t i = 0; i < n; ++i) {
    float* row = logits.view().row(i).data;
    for (std::size_t t = 0; t < vocabulary; ++t) row[t] *= shape == Logits::Peaked ? 3.0F : 0.7F;
    for (std::size_t t = 0; shape == Logits::Peaked && t < 40; ++t) row[t * 3001 + i] += 15;
  }
  std::vector<compute::SamplingRules> rows(n, rules);
  std::vector<compute::Choice> choices(n);
  std::uint64_t position = 0;
  for ([[maybe_unused]] auto _ : state) {
    for (compute::SamplingRules& row : rows) row.random = compute::random_at(1, position++);
    device->candidates(logits.view(), rows, choices);
  }
}

void register_candidates() {
  struct Kind {
    const char* name;
    compute::SamplingRules rules;
  };
  const std::vector<Kind> kinds = {{"greedy", {.temperature = 0}},
                                   {"top_p", {.temperature = 0.6F, .top_p = 0.95F}},
                                   {"top_k", {.temperature = 0.6F, .top_k = 40, .top_p = 0.95F}},
                                   {"all", {}},
                                   {"logprobs", {.temperature = 0.6F, .top_p = 0.95F, .alternatives = 20}}};
  for (const Logits shape : {Logits::Peaked, Logits::Flat}) {
    for (const auto& [kind, rules] : kinds) {
      const std::string name = std::string("candidates/") + (shape == Logits::Peaked ? "peaked/" : "flat/") + kind;
      const auto run = [shape, rules = rules](benchmark::State& state) { candidates(state, shape, rules); };
      benchmark::RegisterBenchmark(name.c_str(), run)
          ->ArgName("n")
          ->Arg(1)
          ->Arg(16)
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  benchmark::RegisterBenchmark("read_memory", read_memory)->UseRealTime();
  benchmark::RegisterBenchmark("empty_phase", empty_phase)->UseRealTime();
  const bool has_fast_mode = compute::make_cpu_device(1)->has_fast_mode();
  struct Shape {
    std::size_t rows, cols;
  };
  for (const quant::Type type :
       {quant::Type::Q4_K, quant::Type::Q6_K, quant::Type::Q5_K, quant::Type::Q8_0, quant::Type::Q2_K,
        quant::Type::Q3_K, quant::Type::IQ4_XS, quant::Type::Q4_0, quant::Type::Q4_1, quant::Type::Q5_0,
        quant::Type::Q5_1, quant::Type::IQ4_NL, quant::Type::F16, quant::Type::BF16, quant::Type::F32}) {
    for (const Shape& shape :
         {Shape{2048, 2048}, Shape{512, 2048}, Shape{11008, 2048}, Shape{2048, 11008}, Shape{128256, 2048}}) {
      const std::size_t rows = shape.rows, cols = shape.cols;
      const auto info = *quant::type_info(type);
      if (rows * cols / info.block * info.block_bytes > ring_bytes) continue;
      const std::string name =
          "matmul/" + std::string(info.name) + "/" + std::to_string(rows) + "x" + std::to_string(cols);
      const auto in = [type, rows, cols](compute::Precision precision) {
        return [=](benchmark::State& state) { matmul(state, type, rows, cols, precision); };
      };
      auto* b = benchmark::RegisterBenchmark(name.c_str(), in(compute::Precision::Exact));
      b->ArgName("n")->Arg(1)->Arg(2)->Arg(4)->Arg(16)->UseRealTime()->Unit(benchmark::kMicrosecond);
      if (rows <= 11008) b->Arg(128)->Arg(512);
      if (has_fast_mode && info.block == 256 && rows <= 11008)
        benchmark::RegisterBenchmark(("fast_" + name).c_str(), in(compute::Precision::Fast))
            ->ArgName("n")
            ->Arg(16)
            ->Arg(128)
            ->Arg(512)
            ->UseRealTime()
            ->Unit(benchmark::kMicrosecond);
    }
  }
  if (ring_bytes >= std::size_t{16} << 20) {
    const auto in = [](compute::Precision precision) {
      return [precision](benchmark::State& state) { feed_forward(state, precision); };
    };
    benchmark::RegisterBenchmark("feed_forward", in(compute::Precision::Exact))
        ->ArgName("n")
        ->Arg(1)
        ->Arg(4)
        ->Arg(16)
        ->Arg(128)
        ->Arg(512)
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
    if (has_fast_mode)
      benchmark::RegisterBenchmark("fast_feed_forward", in(compute::Precision::Fast))
          ->ArgName("n")
          ->Arg(16)
          ->Arg(128)
          ->Arg(512)
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
  }
  for (const quant::Type type : {quant::Type::F16, quant::Type::F32}) {
    const std::string name = "attention/" + std::string(quant::type_info(type)->name);
    const auto exact = [type](benchmark::State& state) { attention(state, type, compute::Precision::Exact); };
    benchmark::RegisterBenchmark(name.c_str(), exact)
        ->ArgNames({"n", "depth"})
        ->Args({1, 64})
        ->Args({1, 512})
        ->Args({1, 4096})
        ->Args({1, 16384})
        ->Args({512, 512})
        ->Args({512, 4096})
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }
  if (has_fast_mode) {
    const auto fast = [](benchmark::State& state) { attention(state, quant::Type::F16, compute::Precision::Fast); };
    benchmark::RegisterBenchmark("attention/fast", fast)
        ->ArgNames({"n", "depth"})
        ->Args({512, 512})
        ->Args({512, 2048})
        ->Args({512, 8192})
        ->Args({512, 32768})
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }
  benchmark::RegisterBenchmark("rms_norm", rms_norm)->Arg(1)->Arg(512)->UseRealTime()->Unit(benchmark::kMicrosecond);
  benchmark::RegisterBenchmark("rope", rope)->Arg(1)->Arg(512)->UseRealTime()->Unit(benchmark::kMicrosecond);
  register_candidates();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
