#include "compute/cuda/attention_steps.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <utility>

#include "compute/cuda/elementwise.h"
#include "compute/cuda/packed.h"
#include "compute/cuda/row_tables.h"

namespace compute::cuda {
namespace {

constexpr std::size_t blocks_per_processor = 2;  // for the sharing of long sequences
constexpr std::size_t least_room = 64;           // among the inputs, for pages

}  // namespace

void AttentionSteps::rope(View x, std::size_t head_size, View cos_sin) {
  deferred_.push_back({Deferred::Kind::Rope, x, {}, cos_sin, head_size, {}, 0});
}

void AttentionSteps::store_kv(const KvShape& shape, std::size_t layer, View k, View v, std::span<const KvRow> rows) {
  place(rows, "store_kv");
  deferred_.push_back({Deferred::Kind::Store, k, v, {}, 0, shape, layer});
}

void AttentionSteps::attention(const KvShape& shape, std::size_t layer, View q, std::span<const KvRow> rows,
                               CudaActivations& out, bool floats) {
  place(rows, "attention");
  out.reset(q.rows, q.cols);
  const AttentionInput input{.shape = shape,
                             .layer = layer,
                             .rows = q.rows,
                             .heads = q.cols / shape.head_size,
                             .q = q.data,
                             .q_stride = q.stride,
                             .table = placed_.table};
  const bool fast = shape.type == quant::Type::F16 && (shape.head_size == 64 || shape.head_size == 128) &&
                    input.heads / shape.kv_heads <= 16;
  AttentionOutput result;
  if (floats || q.cols % tile_cols != 0) {
    result.floats = out.floats();
    result.float_stride = out.float_stride();
    out.set_valid(CudaActivations::Form::Floats);
  } else {
    result.halves = out.halves();
    result.half_stride = out.half_stride();
    out.set_valid(CudaActivations::Form::Halves);
  }
  if (fast && placed_.each_alone && attend_fused(input, result)) return;
  carry_out();
  if (fast) {
    const AttentionTile* tiles = placed_.tiles;
    const std::size_t count = placed_.tile_count;
    add([=](cudaStream_t stream) { attend_prompt(stream, input, tiles, count, result); }, &attend_prompt, input, result,
        tiles, count);
  } else {
    add([=](cudaStream_t stream) { attend_plain(stream, input, result); }, &attend_plain, input, result);
  }
}

void AttentionSteps::carry_out() {
  for (const Deferred& d : std::exchange(deferred_, {})) {
    const View x = d.x;
    if (d.kind == Deferred::Kind::Rope) {
      const View cos_sin = d.cos_sin;
      const std::size_t size = d.head_size;
      pass_.add(
          [=](cudaStream_t stream) {
            turn_rows(stream, x.data, x.rows, x.cols, x.stride, size, cos_sin.data, cos_sin.stride);
          },
          &turn_rows, x.data, x.rows, x.cols, x.stride, size, cos_sin.data, cos_sin.stride);
    } else {
      const View v = d.v;
      const KvShape shape = d.shape;
      const std::size_t layer = d.layer;
      const RowTable table = placed_.table;
      pass_.add(
          [=](cudaStream_t stream) {
            store_rows(stream, shape, layer, x.rows, x.data, x.stride, v.data, v.stride, table);
          },
          &store_rows, x.data, x.stride, v.data, v.stride, x.rows, layer, shape.kv_heads, shape.head_size, shape.type,
          table.position, table.first_page, table.pages);
    }
  }
}

void AttentionSteps::reset() {
  deferred_.clear();
  placed_ = {};
}

template <typename Function, typename... Others>
void AttentionSteps::add(std::function<void(cudaStream_t)> run, Function function, const AttentionInput& input,
                         const AttentionOutput& out, const Others&... others) {
  pass_.add(std::move(run), function, input.q, input.q_stride, input.rows, input.heads, input.layer,
            input.shape.kv_heads, input.shape.head_size, input.shape.type, input.table.position, input.table.first_page,
            input.table.pages, out.floats, out.float_stride, out.halves, out.half_stride, others...);
}

// Generation: [turn k], store, [turn q] and attention as one kernel; false if that is not what was asked for.
bool AttentionSteps::attend_fused(const AttentionInput& input, const AttentionOutput& out) {
  const bool turned = deferred_.size() == 3;
  if (!turned && deferred_.size() != 1) return false;
  const Deferred& store = deferred_[turned ? 1 : 0];
  if (store.kind != Deferred::Kind::Store || store.layer != input.layer) return false;
  NewKeys fresh{.k = store.x.data, .k_stride = store.x.stride, .v = store.v.data, .v_stride = store.v.stride};
  if (turned) {
    const Deferred& k = deferred_[0];
    const Deferred& q = deferred_[2];
    if (k.kind != Deferred::Kind::Rope || q.kind != Deferred::Kind::Rope || k.x.data != store.x.data ||
        q.x.data != input.q || k.cos_sin.data != q.cos_sin.data || k.cos_sin.stride != k.head_size ||
        k.head_size != input.shape.head_size || q.head_size != k.head_size) {
      return false;
    }
    fresh.cos_sin = k.cos_sin.data;
  }
  deferred_.clear();
  const std::size_t blocks = blocks_per_processor * multiprocessors_;
  const std::size_t splits =
      std::clamp<std::size_t>(blocks / (input.rows * input.shape.kv_heads), 1, placed_.most_pages);
  const std::size_t bytes = decode_workspace_bytes(input.rows, input.heads, input.shape.head_size, splits);
  if (bytes > workspace_bytes_) {
    DeviceMemory larger(2 * bytes);
    zero(larger.as(), 2 * bytes);
    // Steps that know the old one may not have been started; their graphs are never found again: their keys name it.
    retired_.push_back(std::move(workspace_));
    workspace_ = std::move(larger);
    workspace_bytes_ = 2 * bytes;
  }
  void* workspace = workspace_.as();
  add([=](cudaStream_t stream) { attend_decode(stream, input, fresh, out, splits, workspace); }, &attend_decode, input,
      out, splits, workspace, fresh.k, fresh.k_stride, fresh.v, fresh.v_stride, fresh.cos_sin);
  return true;
}

// Puts the rows among the pass's inputs, unless they are there already.
void AttentionSteps::place(std::span<const KvRow> rows, const char* operation) {
  const auto same = [](const KvRow& a, const KvRow& b) {
    return a.position == b.position && a.pages.data() == b.pages.data() && a.pages.size() == b.pages.size();
  };
  if (!placed_.rows.empty() && std::ranges::equal(rows, placed_.rows, same)) return;
  // What stores refers to the rows that are placed now. What turns does not: in the first layer of a pass keys are to
  // be turned before any rows are placed, and may still become part of a fused attention.
  const auto stores = [](const Deferred& d) { return d.kind == Deferred::Kind::Store; };
  if (std::ranges::any_of(deferred_, stores)) carry_out();

  const RowTables tables = make_row_tables(rows, operation);
  PlacedRows placed;
  placed.rows.assign(rows.begin(), rows.end());
  placed.tile_count = tables.tiles.size();
  placed.most_pages = tables.most_pages;
  placed.each_alone = tables.each_alone;
  placed.table.position = pass_.input(std::span<const std::uint32_t>(tables.positions));
  placed.table.first_page = pass_.input(std::span<const std::uint32_t>(tables.first_pages));
  placed.tiles = pass_.input(std::span<const AttentionTile>(tables.tiles));
  placed.table.pages =
      pass_.input(std::span<std::byte* const>(tables.pages), std::max(least_room, std::bit_ceil(tables.pages.size())));
  placed_ = std::move(placed);
}

}  // namespace compute::cuda
