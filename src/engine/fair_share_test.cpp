#include "engine/fair_share.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace engine {
namespace {

TEST(FairShare, CountsWhatAClientWasGivenOverAllItsTickets) {
  FairShare share;
  FairShare::Ticket a = share.join("a"), another = share.join("a"), b = share.join("b");
  a.charge(10);
  another.charge(5);
  EXPECT_EQ(a.tokens(), 15);
  EXPECT_EQ(another.client(), a.client());
  EXPECT_NE(b.client(), a.client());
  EXPECT_EQ(b.tokens(), 0);
}

TEST(FairShare, NobodySavesUpTurns) {
  FairShare share;
  FairShare::Ticket busy = share.join("busy");
  std::optional<FairShare::Ticket> idle = share.join("idle");
  busy.charge(1000);
  idle.reset();
  busy.charge(1000);
  EXPECT_EQ(share.join("idle").tokens(), 2000) << "as the one that has had the least";
  EXPECT_EQ(share.join("new").tokens(), 2000);
}

TEST(FairShare, LeavingForAMomentForgivesNothing) {
  FairShare share;
  std::optional<FairShare::Ticket> greedy = share.join("greedy");
  const FairShare::Ticket modest = share.join("modest");
  greedy->charge(1000);
  greedy.reset();
  for (int i = 0; i < 2000; ++i) share.join("passes by " + std::to_string(i));
  EXPECT_EQ(share.join("greedy").tokens(), 1000);
  EXPECT_EQ(modest.tokens(), 0);
}

TEST(FairShare, WhoComesBackAfterNobodyWasThereHasNothingToMakeUpFor) {
  FairShare share;
  share.join("a").charge(1e6);
  FairShare::Ticket b = share.join("b");
  b.charge(1000);
  EXPECT_LE(share.join("a").tokens(), b.tokens());
}

TEST(FairShare, RemembersNobodyForEver) {
  FairShare share;
  for (int i = 0; i < 20'000; ++i) share.join(std::to_string(i)).charge(1 + i % 7);
  EXPECT_LT(share.remembered(), 1000u);
}

}  // namespace
}  // namespace engine
