// How much memory keys and values get: what was asked for, against what the device has free. Nothing here asks a
// machine, so that every refusal, which explains itself by these numbers, can be tested on any.
#pragma once

#include <cstdint>

#include "compute/compute.h"

namespace smollm3 {

struct KvWish {
  std::uint64_t context = 0;  // positions that one conversation may have; 0: the model's own number, fewer if need be
  std::uint64_t memory = 0;   // bytes for the pages of all conversations; 0: what is free, but
  std::uint64_t conversations = 256;  // no more than so many whole contexts would take
};

struct KvSize {
  std::uint64_t context = 0;    // positions that one conversation may have
  std::uint64_t positions = 0;  // that all together may have: whole pages, with room for at least one context
};

// Throws base::Error (Resource, or Input where --kv-memory contradicts --ctx), naming what would fit.
KvSize choose_kv_size(const KvWish& wish, std::uint64_t models_context, const compute::KvShape& shape,
                      const compute::FreeMemory& free);

// Throws base::Error (Resource) unless there is room for the pages of a context of so many positions.
void require_room(std::uint64_t positions, const compute::KvShape& shape, const compute::FreeMemory& free);

}  // namespace smollm3
