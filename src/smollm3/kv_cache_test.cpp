#include "smollm3/kv_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>

namespace smollm3 {
namespace {

const std::unique_ptr<compute::Device> device = compute::make_cpu_device(1);
constexpr compute::KvShape shape{.layers = 1, .kv_heads = 1, .head_size = 8, .type = quant::Type::F16};

Sequence filled(PagePool& pool, std::size_t length, int value) {
  Sequence sequence(pool);
  EXPECT_TRUE(sequence.reserve(length));
  for (std::byte* page : sequence.pages()) std::memset(page, value, shape.page_bytes());
  sequence.advance(length);
  return sequence;
}

TEST(Sequence, AForksPagesAreSharedUntilOneIsCut) {
  PagePool pool(*device, shape, 640, 1 << 20);
  const Sequence first = filled(pool, 200, 1);
  Sequence second = first.fork(130);
  EXPECT_EQ(second.length(), 130u);
  EXPECT_EQ(second.pages()[0], first.pages()[0]);
  EXPECT_EQ(second.pages()[1], first.pages()[1]);
  EXPECT_NE(second.pages()[2], first.pages()[2]);

  second.truncate(100);  // in the middle of a page that the first reads as well
  EXPECT_EQ(second.length(), 100u);
  EXPECT_EQ(second.pages()[0], first.pages()[0]);
  ASSERT_NE(second.pages()[1], first.pages()[1]);
  EXPECT_EQ(std::memcmp(second.pages()[1], first.pages()[1], shape.page_bytes()), 0);
  std::byte* const own = second.pages()[1];
  second.truncate(90);
  EXPECT_EQ(second.pages()[1], own);
}

TEST(Sequence, WithoutAPageForTheCopyTheCutIsAtThePagesBeginning) {
  PagePool pool(*device, shape, 256, 1 << 20);
  const Sequence first = filled(pool, 192, 1);
  Sequence second = first.fork(128);
  const Sequence third = filled(pool, 64, 2);
  ASSERT_EQ(pool.free_pages(), 0u);
  second.truncate(100);
  EXPECT_EQ(second.length(), 64u);
  EXPECT_EQ(second.pages().size(), 1u);
}

TEST(Sequence, EveryPageComesBack) {
  PagePool pool(*device, shape, 640, 1 << 20);
  {
    const Sequence first = filled(pool, 300, 1);
    Sequence second = first.fork(150);
    second.truncate(70);
    Sequence third = second.fork(64);
    third.truncate(10);
  }
  EXPECT_EQ(pool.free_pages(), pool.pages());
}

}  // namespace
}  // namespace smollm3
