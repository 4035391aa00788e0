// How products of many rows are cut: whatever their shapes, every part of the result is made exactly once, and partial
// sums have room.
#include "compute/cuda/many_plan.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "compute/cuda/many_tiles.h"

namespace compute::cuda::many {
namespace {

using Random = std::mt19937;

ManyParameters random_work(Random& random) {
  static float partial;
  static __half hidden;
  const auto up_to = [&](unsigned most) { return 1 + static_cast<unsigned>(random() % most); };
  ManyParameters p{};
  p.x_rows = random() % 2 == 0 ? up_to(130) : up_to(40 * 128);
  p.steps = random() % 2 == 0 ? up_to(8) : up_to(172);
  p.matrix_count = up_to(max_matrices);
  if (random() % 3 == 0) {
    p.hidden = &hidden;
    p.matrix_count = 2;
  }
  if (random() % 4 != 0) p.partial = &partial;
  const unsigned formats = random() % 2 == 0 ? 2 : 3;
  for (unsigned i = 0; i < p.matrix_count; ++i) {
    constexpr Format all[] = {Format::Q4, Format::Q6, Format::F16};
    p.matrices[i].format = all[random() % formats];
    p.matrices[i].rows = p.hidden != nullptr && i == 1 ? p.matrices[0].rows : up_to(700);
    p.matrices[i].padded_rows = static_cast<unsigned>(round_up(p.matrices[i].rows, row_unit));
  }
  return p;
}

std::string describe(const ManyParameters& p, const ManyPlan& plan) {
  std::string text = std::to_string(p.x_rows) + " rows, " + std::to_string(p.steps) + " steps, weights of";
  for (unsigned i = 0; i < p.matrix_count; ++i) text += " " + std::to_string(p.matrices[i].rows);
  if (p.hidden != nullptr) text += ", SwiGLU";
  return text + "; plan " + std::to_string(plan.rows) + ", " + std::to_string(plan.strips) + ", " +
         std::to_string(plan.splits);
}

// Every (matrix, strip of 64 rows, tile of activations, step) is in the part of one warpgroup of one block.
template <typename S>
void check_parts(ManyParameters p, const ManyPlan& plan) {
  ASSERT_EQ(S::rows, plan.rows);
  ASSERT_EQ(S::strips, plan.strips);
  const unsigned blocks = cut(p, plan);
  const unsigned tiles = divide_up(p.x_rows, plan.rows);
  std::vector<std::vector<unsigned>> made(p.matrix_count);  // [matrix][strip, tile of activations, step]
  for (unsigned i = 0; i < p.matrix_count; ++i) {
    made[i].resize(std::size_t{divide_up(p.matrices[i].rows, strip_rows)} * tiles * p.steps);
  }
  std::vector<unsigned> splits_of_tile(blocks / plan.splits);
  for (unsigned block = 0; block < blocks; ++block) {
    for (unsigned group = 0; group < threads / group_threads; ++group) {
      const Part part = find_part<S>(p, block, group);
      ASSERT_LT(part.tile, splits_of_tile.size());
      ASSERT_LT(part.split, plan.splits);
      ASSERT_EQ(part.first_activation % plan.rows, 0);
      ASSERT_LT(part.first_activation, p.x_rows);
      ASSERT_LT(part.matrix, p.matrix_count);
      ASSERT_EQ(part.first_row % strip_rows, 0);
      ASSERT_GT(part.steps, 0);
      ASSERT_LE(part.first_step + part.steps, p.steps);
      ++splits_of_tile[part.tile];
      for (unsigned strip = 0; strip < plan.strips; ++strip) {
        const unsigned row = part.first_row + strip * strip_rows;
        if (row >= p.matrices[part.matrix].rows) continue;
        unsigned* const steps =
            &made[part.matrix][(std::size_t{row / strip_rows} * tiles + part.first_activation / plan.rows) * p.steps];
        for (unsigned i = 0; i < part.steps; ++i) ++steps[part.first_step + i];
      }
    }
  }
  for (const auto& of_matrix : made) {
    for (const unsigned times : of_matrix) ASSERT_EQ(times, 1);
  }
  for (const unsigned parts : splits_of_tile) ASSERT_EQ(parts, plan.splits * threads / group_threads);
}

void check_parts(const ManyParameters& p, const ManyPlan& plan) {
  SCOPED_TRACE(describe(p, plan));
  const auto check = [&]<unsigned rows>() {
    plan.strips == 1 ? check_parts<ManyShape<rows, 1, 4, 1, 2, false>>(p, plan)
                     : check_parts<ManyShape<rows, 2, 4, 1, 2, false>>(p, plan);
  };
  switch (plan.rows) {
    case 32:
      return check.template operator()<32>();
    case 64:
      return check.template operator()<64>();
    case 128:
      return check.template operator()<128>();
    default:
      FAIL();
  }
}

TEST(ManyPlan, MakesEveryPartOnceWithinTheWorkspace) {
  Random random(1);
  bool cut_somewhere = false;
  for (int i = 0; i < 300; ++i) {
    const ManyParameters p = random_work(random);
    for (const Instructions instructions : {Instructions::Warpgroup, Instructions::Warp}) {
      const ManyPlan plan = best_plan(p, instructions);
      SCOPED_TRACE(describe(p, plan));
      ASSERT_LE(plan.strips, has_halves(p) || instructions == Instructions::Warp ? 1 : 2);
      ASSERT_TRUE(instructions == Instructions::Warpgroup || plan.rows == 64);
      ASSERT_TRUE(can_cut(p, plan, instructions));
      ASSERT_LE(plan.splits, p.partial != nullptr ? max_splits : 1);
      if (plan.splits > 1) {
        ManyParameters of_plan = p;
        ASSERT_LE(cut(of_plan, plan), max_split_blocks);
        ASSERT_LE(2 * plan.strips * strip_rows * plan.rows * sizeof(float), max_partial_bytes);
        cut_somewhere = true;
      }
      check_parts(p, plan);
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_TRUE(cut_somewhere);
}

// As a caller may ask for it.
TEST(ManyPlan, MakesEveryPartOnceHoweverItIsCut) {
  Random random(2);
  for (int i = 0; i < 50; ++i) {
    const ManyParameters p = random_work(random);
    for (const unsigned rows : {32, 64, 128}) {
      for (const unsigned strips : {1, 2}) {
        for (unsigned splits = 1; splits <= max_splits; ++splits) {
          if (can_cut(p, {rows, strips, splits}, Instructions::Warpgroup)) check_parts(p, {rows, strips, splits});
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

// Where the columns may not be cut: no workspace, no parts or more than 16, fewer steps than parts, more blocks than
// have room.
TEST(ManyPlan, RefusesWhatCannotBeCut) {
  static float partial;
  ManyParameters p{};
  p.x_rows = 64;
  p.steps = 4;
  p.matrix_count = 1;
  p.matrices[0].format = Format::Q4;
  p.matrices[0].rows = 128;
  EXPECT_TRUE(can_split(p, {64, 1, 1}));
  EXPECT_FALSE(can_split(p, {64, 1, 2}));
  p.partial = &partial;
  EXPECT_TRUE(can_split(p, {64, 1, 4}));
  EXPECT_FALSE(can_split(p, {64, 1, 5}));
  p.matrices[0].rows = 128 * 66;
  EXPECT_TRUE(can_split(p, {64, 1, 4}));
  p.matrices[0].rows += 1;
  EXPECT_TRUE(can_split(p, {64, 1, 3}));
  EXPECT_FALSE(can_split(p, {64, 1, 4}));
  p.matrices[0].rows = 128;
  p.steps = 32;
  EXPECT_TRUE(can_split(p, {64, 1, 16}));
  EXPECT_FALSE(can_split(p, {64, 1, 17}));
  EXPECT_FALSE(can_split(p, {64, 1, 0}));
}

TEST(ManyPlan, RefusesTilesThatHaveNoKernel) {
  ManyParameters p{};
  p.x_rows = 64;
  p.steps = 4;
  p.matrix_count = 2;
  p.matrices[0].format = Format::Q4;
  for (const unsigned rows : {16, 32, 48, 64, 128, 256}) {
    const bool group = rows == 32 || rows == 64 || rows == 128;
    for (const unsigned strips : {0, 1, 2, 3}) {
      p.matrices[1].format = Format::Q6;
      EXPECT_EQ(can_cut(p, {rows, strips, 1}, Instructions::Warpgroup), group && (strips == 1 || strips == 2));
      EXPECT_EQ(can_cut(p, {rows, strips, 1}, Instructions::Warp), rows == 64 && strips == 1);
      p.matrices[1].format = Format::F16;
      EXPECT_EQ(can_cut(p, {rows, strips, 1}, Instructions::Warpgroup), group && strips == 1);
      EXPECT_EQ(can_cut(p, {rows, strips, 1}, Instructions::Warp), rows == 64 && strips == 1);
    }
  }
}

}  // namespace
}  // namespace compute::cuda::many
