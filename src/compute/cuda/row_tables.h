// The rows of a batch that an operation on keys and values names, as the kernels of attention read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "compute/compute.h"
#include "compute/cuda/attention.h"

namespace compute::cuda {

struct RowTables {
  std::vector<std::uint32_t> positions;    // of each row
  std::vector<std::uint32_t> first_pages;  // of each row: where its sequence's pages begin in `pages`
  std::vector<std::byte*> pages;
  std::vector<AttentionTile> tiles;  // all rows; those with the most positions before them first
  std::size_t most_pages = 0;        // of one row, rounded up to a power of two
  bool each_alone = false;           // every row is of another sequence
};

// Throws a base::Error of this operation if a row's position has no page.
RowTables make_row_tables(std::span<const KvRow> rows, const char* operation);

}  // namespace compute::cuda
