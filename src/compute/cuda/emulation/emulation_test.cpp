#include "compute/cuda/emulation/emulation_test.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

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

TEST(Emulation, AddsUpThroughSharedMemoryAndShuffles) {
  std::mt19937 random(5);
  std::uniform_int_distribution<int> digit(-8, 8);
  std::vector<float> x(5000);
  for (float& value : x) value = static_cast<float>(digit(random));
  double want = 0;
  for (const float value : x) want += value;
  std::vector<float> sums(7);
  block_sums(x.data(), x.size(), sums.data(), 7);
  double got = 0;
  for (const float sum : sums) got += sum;
  EXPECT_EQ(got, want);
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
  EXPECT_DEATH(wait_together(Mistake::different_barriers), "wait at different barriers");
  EXPECT_DEATH(wait_together(Mistake::lane_missing), "threads 0 to 6: wait at __syncwarp with mask 0xffffffff\n");
  run(Mistake::no_copy_wait);
  EXPECT_TRUE(std::isnan(c[0]));
}

}  // namespace
}  // namespace compute::cuda::emulation
