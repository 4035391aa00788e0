// Each of these is a loop of one instruction, or one pattern of loads, at the highest rate it can have: a compiler's
// version of the same loop measures the compiler. Hence assembly; processors without a version here run the portable
// loops.
//   products   12 independent accumulators, enough to hide the latency of any processor's dot product or FMA; with AMX
//              four, of a tile each
//   reading    two lines each at four places, a stride apart: next to each other, or in four streams
#include "compute/cpu/rates.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <functional>

#include "base/memory.h"
#include "base/resources.h"
#include "compute/cpu/tiles.h"

namespace compute::cpu {
namespace {

using Clock = std::chrono::steady_clock;

// One processor's loops. A product loop does `rounds` rounds of so many operations; reading takes `lines` pairs of
// lines at each of the four places.
struct Loops {
  const char* name;
  void (*int8_products)(std::uint64_t rounds);
  double int8_operations;  // in a round
  void (*float_products)(std::uint64_t rounds);
  double float_operations;
  void (*read)(const std::byte* begin, std::size_t stride, std::size_t step, std::size_t rounds);
  void (*bf16_products)(std::uint64_t rounds) = nullptr;  // if there are such
  double bf16_operations = 0;
};

#if defined(__x86_64__)

#define SMOLLM3_TWELVE(instruction)                                                                     \
  instruction("0") instruction("1") instruction("2") instruction("3") instruction("4") instruction("5") \
      instruction("6") instruction("7") instruction("8") instruction("9") instruction("10") instruction("11")
#define SMOLLM3_ALL_VECTORS                                                                                           \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", \
      "xmm14", "xmm15"
#define SMOLLM3_LOOP(zero, body)                                                                                     \
  asm volatile(SMOLLM3_TWELVE(zero) zero("14") zero("15") "1:\n" SMOLLM3_TWELVE(body) "dec %0\n jnz 1b\n vzeroupper" \
               : "+r"(rounds)                                                                                        \
               :                                                                                                     \
               : "cc", SMOLLM3_ALL_VECTORS)
#define SMOLLM3_READ(load, r)                                                                                          \
  asm volatile("1:\n" load " (%[p]), %%" r "0\n" load " 64(%[p]), %%" r "1\n" load " (%[p],%[s]), %%" r "2\n" load     \
               " 64(%[p],%[s]), %%" r "3\n" load " (%[p],%[s],2), %%" r "4\n" load " 64(%[p],%[s],2), %%" r "5\n" load \
               " (%[p],%[s3]), %%" r "6\n" load " 64(%[p],%[s3]), %%" r                                                \
               "7\n"                                                                                                   \
               "add %[step], %[p]\n dec %[n]\n jnz 1b\n vzeroupper"                                                    \
               : [p] "+r"(begin), [n] "+r"(rounds)                                                                     \
               : [s] "r"(stride), [s3] "r"(3 * stride), [step] "r"(step)                                               \
               : "cc", "memory", SMOLLM3_ALL_VECTORS)

#define SMOLLM3_ZERO_512(n) "vpxord %%zmm" n ", %%zmm" n ", %%zmm" n "\n"
#define SMOLLM3_DOT_512(n) "vpdpbusd %%zmm15, %%zmm14, %%zmm" n "\n"
#define SMOLLM3_FMA_512(n) "vfmadd231ps %%zmm15, %%zmm14, %%zmm" n "\n"
#define SMOLLM3_ZERO_256(n) "vpxor %%ymm" n ", %%ymm" n ", %%ymm" n "\n"
#define SMOLLM3_DOT_256(n) \
  "vpmaddubsw %%ymm15, %%ymm14, %%ymm13\n vpmaddwd %%ymm13, %%ymm15, %%ymm13\n vpaddd %%ymm13, %%ymm" n ", %%ymm" n "\n"
#define SMOLLM3_FMA_256(n) "vfmadd231ps %%ymm15, %%ymm14, %%ymm" n "\n"

void int8_avx512(std::uint64_t rounds) { SMOLLM3_LOOP(SMOLLM3_ZERO_512, SMOLLM3_DOT_512); }
void float_avx512(std::uint64_t rounds) { SMOLLM3_LOOP(SMOLLM3_ZERO_512, SMOLLM3_FMA_512); }
void int8_avx2(std::uint64_t rounds) { SMOLLM3_LOOP(SMOLLM3_ZERO_256, SMOLLM3_DOT_256); }
void float_avx2(std::uint64_t rounds) { SMOLLM3_LOOP(SMOLLM3_ZERO_256, SMOLLM3_FMA_256); }
void read_avx512(const std::byte* begin, std::size_t stride, std::size_t step, std::size_t rounds) {
  SMOLLM3_READ("vmovups", "zmm");
}
// Half of each line: the other half comes with it.
void read_avx2(const std::byte* begin, std::size_t stride, std::size_t step, std::size_t rounds) {
  SMOLLM3_READ("vmovups", "ymm");
}

void int8_amx(std::uint64_t rounds) {
  const Tiles tiles;
  for (; rounds > 0; --rounds) {
    tile_dot_signed<0, 4, 6>();
    tile_dot_signed<1, 4, 7>();
    tile_dot_signed<2, 5, 6>();
    tile_dot_signed<3, 5, 7>();
  }
}

void bf16_amx(std::uint64_t rounds) {
  const Tiles tiles;
  for (; rounds > 0; --rounds) {
    tile_dot_bf16<0, 4, 6>();
    tile_dot_bf16<1, 4, 7>();
    tile_dot_bf16<2, 5, 6>();
    tile_dot_bf16<3, 5, 7>();
  }
}

constexpr double tile_outputs = 16 * 16;  // of a product of tiles, each of 64 int8 products or 32 of BF16

constexpr Loops amx = {"AMX and AVX-512", int8_amx, 4 * tile_outputs * 64 * 2, float_avx512, 12 * 16 * 2,
                       read_avx512,       bf16_amx, 4 * tile_outputs * 32 * 2};
constexpr Loops avx512 = {"AVX-512 VNNI", int8_avx512, 12 * 64 * 2, float_avx512, 12 * 16 * 2, read_avx512};
constexpr Loops avx2 = {"AVX2", int8_avx2, 12 * 32 * 2, float_avx2, 12 * 8 * 2, read_avx2};

#endif

// Keeps a value from being optimised away.
void use(const void* value) { asm volatile("" : : "r"(value) : "memory"); }

constexpr std::size_t portable_width = 1024;

void int8_portable(std::uint64_t rounds) {
  std::array<std::int8_t, portable_width> a{};
  std::array<std::int8_t, portable_width> b{};
  for (; rounds > 0; --rounds) {
    use(a.data());
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < portable_width; ++i) sum += a[i] * b[i];
    use(&sum);
  }
}

void float_portable(std::uint64_t rounds) {
  std::array<float, portable_width> sum{};
  std::array<float, portable_width> a{};
  for (; rounds > 0; --rounds) {
    use(a.data());
    for (std::size_t i = 0; i < portable_width; ++i) sum[i] += a[i] * a[i];
    use(sum.data());
  }
}

void read_portable(const std::byte* begin, std::size_t stride, std::size_t step, std::size_t rounds) {
  std::uint64_t sum = 0;
  for (; rounds > 0; --rounds, begin += step) {
    for (std::size_t place = 0; place < 4; ++place) {
      std::array<std::uint64_t, 16> lines;
      std::memcpy(lines.data(), begin + place * stride, sizeof lines);
      for (const std::uint64_t word : lines) sum ^= word;
    }
  }
  use(&sum);
}

constexpr Loops portable = {"portable loops", int8_portable,      2 * portable_width,
                            float_portable,   2 * portable_width, read_portable};

const Loops& best_loops() {
#if defined(__x86_64__)
  if (supported(Isa::Amx)) return amx;
  if (supported(Isa::Avx512)) return avx512;
  if (supported(Isa::Avx2)) return avx2;
#endif
  return portable;
}

// The best of several runs of `body` on all threads, in seconds.
double best_time(base::ThreadPool& pool, double least_total, const std::function<void(int part)>& body) {
  double best = 1e30;
  double total = 0;
  for (int run = 0; run < 3 || (total < least_total && run < 10'000); ++run) {
    const auto start = Clock::now();
    pool.run(pool.size(), [&](int part, int) { body(part); });
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::min(best, seconds);
    total += seconds;
  }
  return best;
}

double product_rate(base::ThreadPool& pool, void (*products)(std::uint64_t), double operations) {
  std::uint64_t rounds = 1024;
  while (best_time(pool, 0, [&](int) { products(rounds); }) < 0.02) rounds *= 2;
  const double seconds = best_time(pool, 0.2, [&](int) { products(rounds); });
  return operations * static_cast<double>(rounds) * pool.size() / seconds;
}

constexpr std::size_t pair = 128;  // bytes of two lines

}  // namespace

RatesMeter::RatesMeter(base::ThreadPool& pool, std::uint64_t model_bytes) : pool_(pool) {
  const int threads = pool.size();
  const std::uint64_t wanted = std::min({model_bytes, base::available_memory() / 2, std::uint64_t{4} << 30});
  rounds_ = std::max<std::size_t>(static_cast<std::size_t>(wanted) / static_cast<std::size_t>(threads) / (4 * pair), 1);
  share_ = rounds_ * 4 * pair;
  memory_.reset(static_cast<std::byte*>(base::allocate_aligned(share_ * static_cast<std::size_t>(threads))));
  // Each thread fills its own share: else all is one page of zeros, or far from the processor that reads it.
  pool_.run(threads, [&](int thread, int) { std::fill_n(share_of(thread), share_, std::byte{1}); });
}

std::byte* RatesMeter::share_of(int thread) const { return &memory_[static_cast<std::size_t>(thread) * share_]; }

Rates RatesMeter::measure() {
  const Loops& loops = best_loops();
  const double one_stream =
      best_time(pool_, 0.3, [&](int part) { loops.read(share_of(part), pair, 4 * pair, rounds_); });
  const double four_streams =
      best_time(pool_, 0.3, [&](int part) { loops.read(share_of(part), share_ / 4, pair, rounds_); });
  return {.bytes_per_second = static_cast<double>(share_) * pool_.size() / std::min(one_stream, four_streams),
          .int8_per_second = product_rate(pool_, loops.int8_products, loops.int8_operations),
          .float_per_second = product_rate(pool_, loops.float_products, loops.float_operations),
          .bf16_per_second =
              loops.bf16_products == nullptr ? 0 : product_rate(pool_, loops.bf16_products, loops.bf16_operations),
          .instructions = loops.name};
}

}  // namespace compute::cpu
