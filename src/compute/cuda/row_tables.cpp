#include "compute/cuda/row_tables.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <string>
#include <unordered_set>

#include "base/error.h"

namespace compute::cuda {

RowTables make_row_tables(std::span<const KvRow> rows, const char* operation) {
  RowTables tables;
  std::unordered_set<const void*> sequences;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const KvRow& row = rows[i];
    if (row.position / page_positions >= row.pages.size()) {
      throw base::Error(base::ErrorKind::Internal, operation,
                        "position " + std::to_string(row.position) + " has no page");
    }
    const bool goes_on = i > 0 && rows[i - 1].pages.data() == row.pages.data();
    if (!goes_on) sequences.insert(row.pages.data());
    tables.positions.push_back(static_cast<std::uint32_t>(row.position));
    // A tile's rows are read with the pages of its first one.
    const bool same_pages = goes_on && rows[i - 1].pages.size() == row.pages.size();
    if (same_pages) {
      tables.first_pages.push_back(tables.first_pages.back());
    } else {
      tables.first_pages.push_back(static_cast<std::uint32_t>(tables.pages.size()));
      tables.pages.insert(tables.pages.end(), row.pages.begin(), row.pages.end());
    }
    if (same_pages && row.position == rows[i - 1].position + 1 && tables.tiles.back().rows < tile_positions) {
      ++tables.tiles.back().rows;
    } else {
      tables.tiles.push_back({static_cast<std::uint32_t>(i), 1});
    }
    tables.most_pages = std::max(tables.most_pages, row.position / page_positions + 1);
  }
  tables.most_pages = std::bit_ceil(tables.most_pages);
  tables.each_alone = sequences.size() == rows.size();
  // The longest first, so that no long one is left alone at the end.
  std::ranges::stable_sort(tables.tiles, std::ranges::greater(),
                           [&](const AttentionTile& tile) { return tables.positions[tile.first_row]; });
  return tables;
}

}  // namespace compute::cuda
