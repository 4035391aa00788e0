// RoPE, the storing of keys and values and attention as steps of a pass. They are put off until it is clear whether
// they are what generation asks for, [turn k], store, [turn q], attend, which is then one kernel.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "compute/compute.h"
#include "compute/cuda/activations.h"
#include "compute/cuda/attention.h"
#include "compute/cuda/memory.h"
#include "compute/cuda/pass.h"

namespace compute::cuda {

class AttentionSteps {
 public:
  AttentionSteps(Pass& pass, std::size_t multiprocessors) : pass_(pass), multiprocessors_(multiprocessors) {}

  // As Device's, shapes having been checked; `floats`: the form that out shall have, instead of halves. It has that
  // anyway where halves would need zeros beyond the columns, which no kernel of attention writes.
  void rope(View x, std::size_t head_size, View cos_sin);
  void store_kv(const KvShape& shape, std::size_t layer, View k, View v, std::span<const KvRow> rows);
  void attention(const KvShape& shape, std::size_t layer, View q, std::span<const KvRow> rows, CudaActivations& out,
                 bool floats);

  // Makes steps of what has been put off: to be called before any other operation's.
  void carry_out();
  // The pass, and with it its inputs, is at its end: what was put off is forgotten.
  void reset();

 private:
  // The rows that the last operation on keys and values named, as they lie among the pass's inputs.
  struct PlacedRows {
    std::vector<KvRow> rows;
    RowTable table;
    const AttentionTile* tiles = nullptr;
    std::size_t tile_count = 0;
    std::size_t most_pages = 0;
    bool each_alone = false;
  };

  // What may still become part of a fused attention.
  struct Deferred {
    enum class Kind { Rope, Store } kind;
    View x;  // to be turned; or the keys
    View v;
    View cos_sin;
    std::size_t head_size = 0;
    KvShape shape;
    std::size_t layer = 0;
  };

  template <typename Function, typename... Others>
  void add(std::function<void(cudaStream_t)> run, Function function, const AttentionInput& input,
           const AttentionOutput& out, const Others&... others);
  bool attend_fused(const AttentionInput& input, const AttentionOutput& out);
  void place(std::span<const KvRow> rows, const char* operation);

  Pass& pass_;
  std::size_t multiprocessors_;
  PlacedRows placed_;
  std::vector<Deferred> deferred_;
  DeviceMemory workspace_;  // of attend_decode
  std::size_t workspace_bytes_ = 0;
  std::vector<DeviceMemory> retired_;  // former ones
};

}  // namespace compute::cuda
