#include "compute/cuda/emulation/emulation_test.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "quant/half.h"

namespace compute::cuda::emulation {
namespace {

std::vector<__half> random_halves(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<__half> values(count);
  for (__half& value : values) value = normal(random);
  return values;
}

// c += a · b by the definition, in double; element (i, k) of a at a[i * k_count + k], (k, j) of b at b(k, j).
template <typename B>
std::vector<double> product(const std::vector<__half>& a, B b, std::size_t rows, std::size_t k_count,
                            std::size_t cols) {
  std::vector<double> c(rows * cols);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      for (std::size_t k = 0; k < k_count; ++k)
        c[i * cols + j] += static_cast<double>(float{a[i * k_count + k]}) * b(k, j);
    }
  }
  return c;
}

void expect_near(const std::vector<float>& got, const std::vector<double>& want, double offset = 0) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i] + offset, 2e-5) << i;
}

TEST(Emulation, MultipliesFragmentsOfAWarp) {
  const auto a = random_halves(16 * 16, 1);
  const auto b = random_halves(16 * 8, 2);
  const auto want = product(
      a, [&](std::size_t k, std::size_t j) { return float{b[k * 8 + j]}; }, 16, 16, 8);
  std::vector<float> c(16 * 8, 3);
  multiply(a.data(), b.data(), c.data());
  expect_near(c, want, 3);
  for (const bool transposed : {false, true}) {
    std::vector<float> loaded(16 * 8);
    load_multiply(a.data(), b.data(), loaded.data(), transposed);
    expect_near(loaded, want);
  }
}

TEST(Emulation, MultipliesSwizzledTilesOfAWarpgroup) {
  for (const std::size_t n : {64, 256}) {
    for (const bool a_shared : {false, true}) {
      if (a_shared && n != 64) continue;
      const auto a = random_halves(64 * 64, 3);
      const auto b = random_halves(n * 64, 4);
      std::vector<float> c(64 * n, -1);
      multiply_warpgroup(static_cast<int>(n), a.data(), b.data(), c.data(), a_shared, Mistake::none);
      expect_near(c,
                  product(
                      a, [&](std::size_t k, std::size_t j) { return float{b[j * 64 + k]}; }, 64, 64, n),
                  -1);
    }
  }
}

TEST(Emulation, GivesSumsWithTheirGroup) {
  std::vector<float> after_one(256);
  std::vector<float> after_all(256);
  multiply_in_groups(after_one.data(), after_all.data(), Mistake::none);
  for (unsigned i = 0; i < 128; ++i) {
    EXPECT_EQ(after_one[i], 64);
    EXPECT_EQ(after_all[i], 64);
    EXPECT_TRUE(std::isnan(after_one[128 + i]));
    EXPECT_EQ(after_all[128 + i], 32);
  }
}

TEST(Emulation, AddsUpThroughSharedMemoryShufflesAndAtomics) {
  std::mt19937 random(5);
  std::uniform_int_distribution<int> digit(-8, 8);
  std::vector<float> x(5000);
  for (float& value : x) value = static_cast<float>(digit(random));
  float want = 0;
  for (const float value : x) want += value;
  std::vector<float> sums(7);
  float total = 0;
  unsigned ended = 0;
  block_sums(x.data(), x.size(), sums.data(), &total, &ended, 7);
  EXPECT_EQ(total, want);
  EXPECT_EQ(ended, 0U);
}

TEST(Emulation, ShowsAMissingBarrier) {
  std::vector<float> x(512);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  for (const bool with_barrier : {true, false}) {
    std::vector<float> reversed(512);
    reverse(x.data(), reversed.data(), with_barrier);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < x.size(); ++i) wrong += reversed[i] != x[i / 256 * 256 + 255 - i % 256];
    EXPECT_EQ(wrong, with_barrier ? 0U : 256U);  // half of each block reads what is not yet there
  }
}

TEST(Emulation, RunsEveryThreadOnce) {
  std::vector<unsigned> counts(2 * 3 * 4 * 5 * 3 * 2);
  count_threads(counts.data(), dim3(2, 3, 4), dim3(5, 3, 2));
  for (const unsigned count : counts) EXPECT_EQ(count, 1U);
}

TEST(Emulation, ExchangesAmongLanes) {
  constexpr unsigned threads = 64 + 20;  // the last warp is not full
  std::vector<LaneResults> results(threads);
  use_lanes(threads, results.data());
  for (unsigned i = 0; i < threads; ++i) {
    SCOPED_TRACE(i);
    const unsigned warp = i / 32 * 32;
    const unsigned end = std::min(warp + 32, threads);
    const auto value = [&](unsigned j) { return j < end ? static_cast<int>(j * j) : -1; };  // 0xFF bytes
    const LaneResults& got = results[i];
    EXPECT_EQ(got.from_5, value(warp + 5));
    EXPECT_EQ(got.from_1_of_8, value(i / 8 * 8 + 1));
    EXPECT_EQ(got.xor_3, value(i ^ 3));
    EXPECT_EQ(got.up_2, value(i % 32 < 2 ? i : i - 2));
    EXPECT_EQ(got.down_3_of_16, value(i % 16 >= 13 ? i : i + 3));
    unsigned ballot = 0;
    int even = 0;
    int first_24 = 0;
    for (unsigned j = warp; j < end; ++j) {
      if (value(j) % 3 == 1) ballot |= 1U << (j - warp);
      if (j % 2 == 0) even += value(j);
      if (j - warp < 24) first_24 += value(j);
    }
    EXPECT_EQ(got.ballot, ballot);
    EXPECT_TRUE(got.any);
    EXPECT_FALSE(got.all);
    EXPECT_EQ(got.sum_of_even, i % 2 == 0 ? even : 0);
    if (i % 32 < 24) {
      EXPECT_EQ(got.ended_lanes_sum, first_24);
    }
  }
}

TEST(Emulation, CopiesArriveWithTheirGroup) {
  std::vector<float4> first(64);
  std::vector<float4> second(64);
  for (unsigned i = 0; i < 64; ++i) {
    const auto x = static_cast<float>(i);
    first[i] = {x, x + 0.25F, x + 0.5F, x + 0.75F};
    second[i] = {-1 - x, -2 - x, -3 - x, -4 - x};
  }
  std::vector<float4> after_one(128);
  std::vector<float4> after_all(128);
  copy_in_groups(first.data(), second.data(), after_one.data(), after_all.data());
  for (unsigned i = 0; i < 64; ++i) {
    SCOPED_TRACE(i);
    const float4 want = first[i ^ 1];
    for (const float4& got : {after_one[i], after_all[i]}) {
      EXPECT_EQ(got.x, want.x);
      EXPECT_EQ(got.y, want.y);
      EXPECT_EQ(got.z, want.z);
      EXPECT_EQ(got.w, want.w);
    }
    EXPECT_TRUE(std::isnan(after_one[64 + i].x));
    EXPECT_TRUE(std::isnan(after_one[64 + i].w));
    EXPECT_EQ(after_all[64 + i].x, i % 2 == 0 ? 0 : second[i ^ 1].x);
    EXPECT_EQ(after_all[64 + i].w, i % 2 == 0 ? 0 : second[i ^ 1].w);
  }
}

TEST(EmulatedHalf, ConvertsAsTheProjectsOwn) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float got = __half2float(__ushort_as_half(half));
    const float want = quant::half_to_float(half);
    ASSERT_EQ(std::isnan(got), std::isnan(want)) << bits;
    if (std::isnan(want)) continue;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(got), std::bit_cast<std::uint32_t>(want)) << bits;
    // The number itself, those beside it, and the ties between it and the next half.
    const float next = quant::half_to_float(static_cast<std::uint16_t>(half + 1));
    for (const float value : {want, std::nextafter(want, 1e9F), std::nextafter(want, -1e9F), (want + next) / 2,
                              std::nextafter((want + next) / 2, 1e9F), std::nextafter((want + next) / 2, -1e9F)}) {
      if (std::isnan(value)) continue;
      ASSERT_EQ(__half_as_ushort(__float2half_rn(value)), quant::float_to_half(value)) << value;
    }
  }
}

TEST(EmulatedHalf, RoundsOnce) {
  std::mt19937 random(6);
  std::uniform_int_distribution<unsigned> any(0, 65535);
  const auto same = [](__half got, long double want) {
    // `want` has every bit that the result of an operation on halves has to be rounded from.
    const __half nearest = static_cast<double>(want);
    const auto error = [&](std::uint16_t bits) { return std::fabs(quant::half_to_float(bits) - want); };
    const std::uint16_t bits = __half_as_ushort(got);
    if (std::isnan(want)) return __hisnan(got);
    if (std::fabs(want) >= 65504) return bits == __half_as_ushort(nearest);
    const long double own = error(bits);
    return own <= error(static_cast<std::uint16_t>(bits + 1)) &&
           ((bits & 0x7FFF) == 0 || own <= error(static_cast<std::uint16_t>(bits - 1)));
  };
  for (int i = 0; i < 200000; ++i) {
    const __half a = __ushort_as_half(static_cast<unsigned short>(any(random)));
    const __half b = __ushort_as_half(static_cast<unsigned short>(any(random)));
    // Near -a b, so that digits cancel.
    const __half c = i % 2 == 0
                         ? __ushort_as_half(static_cast<unsigned short>(any(random)))
                         : __hneg(__ushort_as_half(static_cast<unsigned short>(__half_as_ushort(__hmul(a, b)) ^ 1)));
    const long double x = float{a};
    const long double y = float{b};
    const long double z = float{c};
    ASSERT_TRUE(same(__hadd(a, b), x + y)) << i;
    ASSERT_TRUE(same(__hsub(a, b), x - y)) << i;
    ASSERT_TRUE(same(__hmul(a, b), x * y)) << i;
    ASSERT_TRUE(same(__hfma(a, b, c), x * y + z)) << i;
  }
}

TEST(EmulatedBits, PicksBytesAndShifts) {
  EXPECT_EQ(__byte_perm(0x33221100, 0x77665544, 0x7250), 0x77225500U);
  EXPECT_EQ(__byte_perm(0x80000000, 0x00000080, 0xCBA4), 0xFFFF0080U);
  EXPECT_EQ(__funnelshift_l(0x89ABCDEF, 0x01234567, 8), 0x23456789U);
  EXPECT_EQ(__funnelshift_r(0x89ABCDEF, 0x01234567, 8), 0x6789ABCDU);
  EXPECT_EQ(__ffs(0), 0);
  EXPECT_EQ(__ffs(40), 4);
  EXPECT_EQ(__clz(1), 31);
}

TEST(EmulationDeathTest, NamesMistakes) {
  const auto a = random_halves(64 * 64, 3);
  const auto b = random_halves(64 * 64, 4);
  std::vector<float> c(64 * 64);
  const auto run = [&](Mistake mistake) { multiply_warpgroup(64, a.data(), b.data(), c.data(), true, mistake); };
  EXPECT_DEATH(run(Mistake::no_proxy_fence), "without fence_async_shared");
  EXPECT_DEATH(run(Mistake::no_arrive), "without warpgroup_arrive");
  EXPECT_DEATH(run(Mistake::sums_touched), "sums of wgmma were written before warpgroup_wait");
  EXPECT_DEATH(run(Mistake::operand_overwritten), "changed before warpgroup_wait");
  EXPECT_DEATH(run(Mistake::no_product_wait), "products of its warpgroup under way");
  EXPECT_DEATH(multiply_in_groups(c.data(), c.data(), Mistake::operand_refilled), "cp.async overwrites what a wgmma");
  EXPECT_DEATH(make_mistake(Mistake::different_barriers), "wait at different barriers");
  EXPECT_DEATH(make_mistake(Mistake::lane_missing), "threads 0 to 6: wait at __syncwarp with mask 0xffffffff\n");
  EXPECT_DEATH(make_mistake(Mistake::lane_outside_mask), "thread .8, 0, 0.: __syncwarp with mask 0x000000ff");
  EXPECT_DEATH(make_mistake(Mistake::address_outside), "ldmatrix: shared address 0x3fe00 is outside");
  EXPECT_DEATH(make_mistake(Mistake::address_misaligned), "ldmatrix: shared address 0x3fc08 is not aligned to 16");
  EXPECT_DEATH(make_mistake(Mistake::global_misaligned), "cp.async: a global address is not aligned");
  run(Mistake::no_copy_wait);
  EXPECT_TRUE(std::isnan(c[0]));
}

}  // namespace
}  // namespace compute::cuda::emulation
