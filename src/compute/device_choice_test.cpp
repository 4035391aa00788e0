// What --device means where there is a GPU, where there is none, and where the program could not use one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "compute/compute.h"

namespace compute {
namespace {

using testing::HasSubstr;

TEST(DeviceChoice, TheCpuIsAlwaysThere) {
  const ChosenDevice chosen = make_device(DeviceKind::Cpu, 2);
  EXPECT_EQ(chosen.device->name(), make_cpu_device(1)->name());
  EXPECT_EQ(chosen.device->threads(), 2);
  EXPECT_TRUE(chosen.device->exact());
  EXPECT_EQ(chosen.note, "");
}

TEST(DeviceChoice, PromptsAreExactWhereNothingIsFasterOrIfThatIsWanted) {
  for (const Isa isa : {Isa::Scalar, Isa::Avx2, Isa::Avx512, Isa::Amx}) {
    if (!supported(isa)) continue;
    const auto device = make_cpu_device(1, isa);
    const bool fast = isa == Isa::Amx;
    EXPECT_EQ(device->has_fast_mode(), fast);
    EXPECT_EQ(prompt_precision(*device, false), fast ? Precision::Fast : Precision::Exact);
    EXPECT_EQ(mode(*device, prompt_precision(*device, false)), fast ? "fast" : "exact");
    EXPECT_EQ(prompt_precision(*device, true), Precision::Exact);
    EXPECT_EQ(mode(*device, prompt_precision(*device, true)), "exact");
  }
}

void expect_no_gpu(const std::string& why) {
  try {
    make_device(DeviceKind::Cuda, 1);
    FAIL() << "there is a GPU";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.subject(), "--device cuda");
    EXPECT_THAT(error.why(), HasSubstr(why));
    EXPECT_THAT(error.remedy(), HasSubstr("--device cpu"));
  }
}

#ifdef SMOLLM3_CUDA

TEST(DeviceChoice, AutoTakesTheGpuOrSaysWhyNot) {
  std::string why;
  const bool available = cuda_available(&why);
  const ChosenDevice chosen = make_device(DeviceKind::Auto, 1);
  if (available) {
    EXPECT_EQ(chosen.note, "");
    EXPECT_EQ(chosen.device->name(), make_device(DeviceKind::Cuda, 1).device->name());
    EXPECT_NE(chosen.device->name(), make_cpu_device(1)->name());
  } else {
    EXPECT_NE(why, "");
    EXPECT_THAT(chosen.note, HasSubstr(why));
    EXPECT_EQ(chosen.device->name(), make_cpu_device(1)->name());
    expect_no_gpu(why);
  }
}

#else

TEST(DeviceChoice, WithoutCudaAutoIsTheCpuAndSaysNothing) {
  const ChosenDevice chosen = make_device(DeviceKind::Auto, 1);
  EXPECT_EQ(chosen.device->name(), make_cpu_device(1)->name());
  EXPECT_EQ(chosen.note, "");
  expect_no_gpu("built without CUDA");
}

#endif

}  // namespace
}  // namespace compute
