// The tables of a batch's rows: whatever sequences and positions it has, each row finds its pages and is in one tile.
#include "compute/cuda/row_tables.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <deque>
#include <random>
#include <vector>

#include "base/error.h"

namespace compute::cuda {
namespace {

using Random = std::mt19937;

// Sequences, whose pages are only told apart, and rows of them: runs of consecutive positions, as prompts have them, or
// single ones; at times several runs of the same sequence.
struct Batch {
  std::deque<std::vector<std::byte*>> sequences;
  std::vector<std::byte> places{10000};
  std::vector<KvRow> rows;

  explicit Batch(Random& random) {
    std::size_t used = 0;
    const std::size_t count = 1 + random() % 6;
    const bool single = random() % 2 == 0;
    for (std::size_t i = 0; i < count; ++i) {
      std::vector<std::byte*>& pages = sequences.emplace_back(1 + random() % 20);
      for (std::byte*& page : pages) page = &places[used++];
      const std::size_t runs = single ? 1 : 1 + random() % 3;
      const bool growing = random() % 4 == 0;  // each row names only the pages that it sees
      for (std::size_t run = 0; run < runs; ++run) {
        const std::size_t first = random() % (pages.size() * page_positions);
        const std::size_t most = std::min<std::size_t>(pages.size() * page_positions - first, 400);
        const std::size_t length = single ? 1 : 1 + random() % most;
        for (std::size_t position = first; position < first + length; ++position) {
          const std::size_t seen = position / page_positions + 1;
          rows.push_back({std::span(pages).first(growing ? seen : pages.size()), position});
        }
      }
    }
  }
};

TEST(RowTables, EveryRowFindsItsPagesAndIsInOneTile) {
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    const Batch batch(random);
    const std::vector<KvRow>& rows = batch.rows;
    const RowTables tables = make_row_tables(rows, "test");
    ASSERT_EQ(tables.positions.size(), rows.size());
    ASSERT_EQ(tables.first_pages.size(), rows.size());
    std::size_t most_pages = 0;
    for (std::size_t r = 0; r < rows.size(); ++r) {
      ASSERT_EQ(tables.positions[r], rows[r].position);
      const std::size_t count = rows[r].position / page_positions + 1;
      ASSERT_LE(tables.first_pages[r] + count, tables.pages.size());
      ASSERT_TRUE(std::ranges::equal(rows[r].pages.first(count),
                                     std::span(tables.pages).subspan(tables.first_pages[r], count)));
      most_pages = std::max(most_pages, count);
    }
    EXPECT_TRUE(std::has_single_bit(tables.most_pages));
    EXPECT_GE(tables.most_pages, most_pages);
    EXPECT_LT(tables.most_pages, 2 * most_pages);

    std::vector<int> times(rows.size());
    for (std::size_t t = 0; t < tables.tiles.size(); ++t) {
      const AttentionTile& tile = tables.tiles[t];
      ASSERT_GT(tile.rows, 0);
      ASSERT_LE(tile.rows, tile_positions);
      ASSERT_LE(tile.first_row + tile.rows, rows.size());
      const KvRow& first = rows[tile.first_row];
      for (std::size_t r = 0; r < tile.rows; ++r) {
        const KvRow& row = rows[tile.first_row + r];
        EXPECT_EQ(row.pages.data(), first.pages.data());
        EXPECT_EQ(row.position, first.position + r);
        EXPECT_EQ(tables.first_pages[tile.first_row + r], tables.first_pages[tile.first_row]);
        ++times[tile.first_row + r];
      }
      if (t > 0) {
        EXPECT_LE(first.position, rows[tables.tiles[t - 1].first_row].position);
      }
    }
    EXPECT_EQ(std::ranges::count(times, 1), static_cast<std::ptrdiff_t>(times.size()));

    bool each_alone = true;
    for (std::size_t r = 1; r < rows.size(); ++r) {
      each_alone =
          each_alone && std::none_of(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(r),
                                     [&](const KvRow& row) { return row.pages.data() == rows[r].pages.data(); });
    }
    EXPECT_EQ(tables.each_alone, each_alone);
    if (HasFailure()) return;
  }
}

// As few tiles as there can be, the last of a run being the shorter one.
TEST(RowTables, TilesAreFull) {
  std::vector<std::byte*> pages(8, nullptr);
  std::vector<KvRow> rows;
  for (std::size_t position = 10; position < 10 + 2 * tile_positions + 1; ++position) rows.push_back({pages, position});
  const RowTables tables = make_row_tables(rows, "test");
  ASSERT_EQ(tables.tiles.size(), 3);
  EXPECT_EQ(tables.tiles[0].rows, 1);
  EXPECT_EQ(tables.tiles[1].rows, tile_positions);
  EXPECT_EQ(tables.tiles[2].rows, tile_positions);
}

TEST(RowTables, RefusesAPositionWithoutAPage) {
  std::vector<std::byte*> pages(2, nullptr);
  const KvRow last{pages, 2 * page_positions - 1};
  EXPECT_NO_THROW(make_row_tables(std::span(&last, 1), "test"));
  const KvRow beyond{pages, 2 * page_positions};
  EXPECT_THROW(make_row_tables(std::span(&beyond, 1), "test"), base::Error);
}

}  // namespace
}  // namespace compute::cuda
