// Tests that a program runs on one of the devices: on the CPU, or, where it is compiled with SMOLLM3_TEST_CUDA, on the
// GPU.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "compute/compute.h"

namespace reference {

class OnDevice : public testing::Test {
 protected:
#ifdef SMOLLM3_TEST_CUDA
  static constexpr compute::DeviceKind device = compute::DeviceKind::Cuda;

  void SetUp() override {
    std::string why;
    if (!compute::cuda_available(&why)) GTEST_SKIP() << "no GPU: " << why;
  }
#else
  static constexpr compute::DeviceKind device = compute::DeviceKind::Cpu;
#endif
};

}  // namespace reference
