#include "smollm3/kv_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "base/error.h"

namespace smollm3 {
namespace {

using testing::HasSubstr;

// Of SmolLM3-3B: 73,728 bytes a position, 4.7 MB a page.
constexpr compute::KvShape real{.layers = 36, .kv_heads = 4, .head_size = 128};
// Of the demo model: 3,072 bytes a position, 197 kB a page.
constexpr compute::KvShape demo{.layers = 6, .kv_heads = 2, .head_size = 64};
constexpr std::uint64_t demo_context = 4096, real_context = 65536;
constexpr std::uint64_t gigabyte = 1'000'000'000, megabyte = 1'000'000;

base::Error refusal(const KvWish& wish, std::uint64_t models_context, const compute::KvShape& shape,
                    const compute::FreeMemory& free) {
  try {
    choose_kv_size(wish, models_context, shape, free);
  } catch (const base::Error& error) {
    return error;
  }
  ADD_FAILURE() << "was not refused";
  return {"", ""};
}

TEST(KvSize, IsWhatIsFreeAndTheContextTheModelsOwn) {
  const KvSize size = choose_kv_size({}, real_context, real, {.found = 20 * gigabyte, .held_back = 2 * gigabyte});
  EXPECT_EQ(size.context, real_context);
  EXPECT_EQ(size.positions, 18 * gigabyte / real.page_bytes() * compute::page_positions);
}

TEST(KvSize, IsNoMoreThanWholeContextsOfSoManyConversations) {
  const compute::FreeMemory much{.found = 100 * gigabyte};
  EXPECT_EQ(choose_kv_size({}, demo_context, demo, much).positions, 256 * demo_context);
  EXPECT_EQ(choose_kv_size({.context = 100}, demo_context, demo, much).positions, 256 * 128u);
  EXPECT_EQ(choose_kv_size({.conversations = 1}, demo_context, demo, much).positions, demo_context);
  const KvSize asked = choose_kv_size({.memory = 20 * gigabyte}, demo_context, demo, much);
  EXPECT_EQ(asked.context, demo_context);
  EXPECT_EQ(asked.positions, 20 * gigabyte / demo.page_bytes() * compute::page_positions);
}

TEST(KvSize, ShrinksTheContextThatNobodyAskedFor) {
  const KvSize of_machine = choose_kv_size({}, real_context, real, {.found = gigabyte});
  EXPECT_EQ(of_machine.context, gigabyte / real.page_bytes() * compute::page_positions);
  EXPECT_EQ(of_machine.positions, of_machine.context);
  const KvSize of_budget = choose_kv_size({.memory = 100 * megabyte}, real_context, real, {.found = gigabyte});
  EXPECT_EQ(of_budget.context, 100 * megabyte / real.page_bytes() * compute::page_positions);
  EXPECT_EQ(of_budget.positions, of_budget.context);
}

TEST(KvSize, AContextThatTheMachineHasNoRoomForIsRefused) {
  const compute::FreeMemory free{.found = 3 * gigabyte, .held_back = 2 * gigabyte};
  for (const std::uint64_t memory : {std::uint64_t{0}, 2 * gigabyte}) {
    const base::Error error = refusal({.context = 131072, .memory = memory}, real_context, real, free);
    EXPECT_EQ(error.kind(), base::ErrorKind::Resource);
    EXPECT_STREQ(error.what(),
                 "context of 131072 positions: its keys and values take 9663 MB; 3000 MB are free, less 2000 MB held "
                 "back for weights and work; --ctx 13504 would fit");
  }
  EXPECT_EQ(choose_kv_size({.context = 13504}, real_context, real, free).positions, 13504u);
}

TEST(KvSize, AMachineThatHasNoRoomForAPageIsRefused) {
  const base::Error error = refusal({}, demo_context, demo, {.found = 50 * megabyte, .held_back = 70 * megabyte});
  EXPECT_THAT(error.why(), HasSubstr("take 196 kB; 50 MB are free, less 70 MB held back"));
  EXPECT_EQ(error.remedy(), "free some memory");
}

TEST(KvSize, MoreThanIsFreeIsRefused) {
  const compute::FreeMemory free{.found = 3 * gigabyte, .held_back = 2 * gigabyte};
  const base::Error error = refusal({.memory = 20 * gigabyte}, real_context, real, free);
  EXPECT_EQ(error.kind(), base::ErrorKind::Resource);
  EXPECT_STREQ(error.what(),
               "--kv-memory of 20000 MB: 3000 MB are free, less 2000 MB held back for weights and work; "
               "--kv-memory 1000M would fit");
  EXPECT_NO_THROW(choose_kv_size({.memory = gigabyte}, real_context, real, free));
}

TEST(KvSize, ABudgetBelowTheContextIsRefusedWithBothThatWouldDo) {
  const compute::FreeMemory free{.found = 20 * gigabyte};
  const base::Error error = refusal({.context = 8192, .memory = 100 * megabyte}, real_context, real, free);
  EXPECT_EQ(error.kind(), base::ErrorKind::Input);
  EXPECT_STREQ(error.what(),
               "context of 8192 positions: its keys and values take 603 MB and --kv-memory leaves them 100 MB; "
               "--ctx 1344 would fit, or --kv-memory 604M");
  EXPECT_NO_THROW(choose_kv_size({.context = 1344, .memory = 100 * megabyte}, real_context, real, free));
  EXPECT_NO_THROW(choose_kv_size({.context = 8192, .memory = 604 * megabyte}, real_context, real, free));
  const base::Error tiny = refusal({.memory = 5000}, demo_context, demo, free);
  EXPECT_STREQ(tiny.what(),
               "smallest context, 64 positions: its keys and values take 196 kB and --kv-memory leaves them 5 kB; give "
               "--kv-memory 197K");
}

TEST(KvSize, SmallGroupsHaveRoomForTheDemoModel) {
  const auto cpu = compute::make_cpu_device(1);
  const std::uint64_t held_back = cpu->free_memory(5'014'464).held_back;
  EXPECT_GT(held_back, 50 * megabyte);
  EXPECT_GT(choose_kv_size({}, demo_context, demo, {.found = 400 * megabyte, .held_back = held_back}).positions,
            16 * demo_context);
  EXPECT_EQ(choose_kv_size({}, demo_context, demo, {.found = 100 * megabyte, .held_back = held_back}).context,
            demo_context);
  // What a large file holds back besides itself has a bound.
  EXPECT_EQ(cpu->free_memory(6 * gigabyte).held_back, 6 * gigabyte + 512 * megabyte);
}

}  // namespace
}  // namespace smollm3
