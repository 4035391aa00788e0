// The GPU draws what the scalar kernels draw from the same logits, which other tests hold to the definition.
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "compute/compute.h"
#include "compute/cpu/candidates_test_support.h"

namespace compute::cuda {
namespace {

using cpu::test::Case;
using cpu::test::choices_of;
using cpu::test::expect_same;
using cpu::test::logits_of;
using cpu::test::Random;
using cpu::test::random_case;
using cpu::test::Shape;

class CudaCandidates : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    if (!cuda_available(&why)) GTEST_SKIP() << "no GPU: " << why;
    device_ = make_cuda_device(1);
  }

  void expect_those_of_the_cpu(std::vector<Case>& cases) {
    const std::vector<Choice> expected = choices_of(*cpu_, cases);
    const std::vector<Choice> actual = choices_of(*device_, cases);
    for (std::size_t i = 0; i < cases.size(); ++i) {
      SCOPED_TRACE("row " + std::to_string(i) + " of " + std::to_string(cases[i].logits.size()) + " tokens");
      expect_same(expected[i], actual[i]);
    }
  }

  Random random_{30};

 private:
  std::unique_ptr<Device> device_;
  std::unique_ptr<Device> cpu_ = make_cpu_device(1, Isa::Scalar);
};

TEST_F(CudaCandidates, AreThoseOfTheCpu) {
  for (const std::size_t size : {1, 2, 31, 32, 33, 65, 1023, 1025, 5003}) {
    for (int repeat = 0; repeat < 6; ++repeat) {
      std::vector<Case> cases;
      for (int i = 0; i < 4; ++i) cases.push_back(random_case(size, random_));
      ASSERT_NO_FATAL_FAILURE(expect_those_of_the_cpu(cases));
    }
  }
}

TEST_F(CudaCandidates, WholeVocabulary) {
  for (const Shape shape : {Shape::Peaked, Shape::Flat}) {
    std::vector<Case> cases;
    for (const SamplingRules& rules :
         {SamplingRules{.temperature = 0.6F, .top_p = 0.95F}, SamplingRules{.top_k = 40, .top_p = 0.9F},
          SamplingRules{.temperature = 2, .alternatives = 3}}) {
      cases.push_back({.logits = logits_of(shape, 128256, random_), .rules = rules});
      cases.back().rules.random = std::uint64_t{random_()} << 32 | random_();
    }
    ASSERT_NO_FATAL_FAILURE(expect_those_of_the_cpu(cases));
  }
}

TEST_F(CudaCandidates, RefuseRowsThatAreNotFinite) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), infinity, -infinity}) {
    std::vector<Case> cases;
    for (int i = 0; i < 3; ++i) cases.push_back({.logits = logits_of(Shape::Flat, 1001, random_)});
    cases[1].logits[700] = bad;
    ASSERT_NO_FATAL_FAILURE(expect_those_of_the_cpu(cases));
  }
}

}  // namespace
}  // namespace compute::cuda
