#include "compute/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace compute::cpu {
namespace {

constexpr std::size_t span_blocks = 8;  // blocks of 64 positions in a span

std::size_t spans_of(const KvRow& row) { return row.position / (span_blocks * page_positions) + 1; }

}  // namespace

struct Attention::Job {
  const KvShape& shape;
  std::size_t layer;
  View q;
  std::span<const KvRow> rows;
  float* out;
  std::size_t group;       // query heads of one key/value head
  std::size_t state_size;  // floats of the group's states
  float scale;

  void clear(float* states) const {
    const std::size_t size = shape.head_size + state_header;
    std::fill_n(states, state_size, 0.0F);
    for (std::size_t i = 0; i < group; ++i) states[i * size] = -std::numeric_limits<float>::infinity();
  }

  // Adds block `index` of the sequence, as far as the row sees it, to the states of the row's queries of one head.
  void attend(const Kernels& kernels, std::size_t row, std::size_t head, std::size_t index, float* states) const {
    const std::size_t first = index * page_positions;
    if (rows[row].position < first) return;
    const std::byte* page = rows[row].pages[index];
    kernels.attend({
        .keys = page + shape.key_offset(layer, head),
        .values = page + shape.value_offset(layer, head),
        .half = shape.type == quant::Type::F16,
        .head_size = shape.head_size,
        .visible = std::min(page_positions, rows[row].position - first + 1),
        .q = q.data + row * q.stride + head * group * shape.head_size,
        .queries = group,
        .scale = scale,
        .states = states,
    });
  }

  void merge(const Kernels& kernels, const float* span, float* total) const {
    const std::size_t size = shape.head_size + state_header;
    for (std::size_t i = 0; i < group; ++i) kernels.merge(span + i * size, shape.head_size, total + i * size);
  }

  void finish(const Kernels& kernels, const float* total, std::size_t row, std::size_t head) const {
    const std::size_t size = shape.head_size + state_header;
    float* to = out + row * q.cols + head * group * shape.head_size;
    for (std::size_t i = 0; i < group; ++i) kernels.finish(total + i * size, shape.head_size, to + i * shape.head_size);
  }
};

float* Attention::room_for(std::size_t floats) {
  if (states_.size() < floats) states_ = base::AlignedBuffer<float>(floats);
  return states_.data();
}

void Attention::run(const KvShape& shape, std::size_t layer, View q, std::span<const KvRow> rows, float* out) {
  const std::size_t group = q.cols / shape.head_size / shape.kv_heads;
  const Job job{
      .shape = shape,
      .layer = layer,
      .q = q,
      .rows = rows,
      .out = out,
      .group = group,
      .state_size = group * (shape.head_size + state_header),
      .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.head_size))),
  };
  // Rows of a prompt share their sequence's blocks, so a part takes several, as long as there are parts for all
  // threads.
  const std::size_t wanted_parts = 4 * static_cast<std::size_t>(pool_.size());
  const std::size_t rows_per_part = std::min<std::size_t>(16, rows.size() * shape.kv_heads / wanted_parts);
  if (rows_per_part >= 1) {
    by_rows(job, rows_per_part);
  } else {
    by_spans(job);
  }
}

// A part is some rows and one head, all their spans one after another.
void Attention::by_rows(const Job& job, std::size_t rows_per_part) {
  const std::size_t groups = (job.rows.size() + rows_per_part - 1) / rows_per_part;
  const std::size_t part_states = 2 * rows_per_part * job.state_size;
  float* states = room_for(static_cast<std::size_t>(pool_.size()) * part_states);
  pool_.run(static_cast<int>(groups * job.shape.kv_heads), [&](int part, int thread) {
    const std::size_t head = static_cast<std::size_t>(part) % job.shape.kv_heads;
    const std::size_t first = static_cast<std::size_t>(part) / job.shape.kv_heads * rows_per_part;
    const std::size_t count = std::min(rows_per_part, job.rows.size() - first);
    float* total = states + static_cast<std::size_t>(thread) * part_states;
    float* current = total + rows_per_part * job.state_size;
    std::size_t spans = 0;
    for (std::size_t i = 0; i < count; ++i) {
      job.clear(total + i * job.state_size);
      spans = std::max(spans, spans_of(job.rows[first + i]));
    }
    for (std::size_t span = 0; span < spans; ++span) {
      for (std::size_t i = 0; i < count; ++i) job.clear(current + i * job.state_size);
      for (std::size_t block = span * span_blocks; block < (span + 1) * span_blocks; ++block) {
        for (std::size_t i = 0; i < count; ++i) {
          job.attend(kernels_, first + i, head, block, current + i * job.state_size);
        }
      }
      for (std::size_t i = 0; i < count; ++i) {
        if (span >= spans_of(job.rows[first + i])) continue;
        job.merge(kernels_, current + i * job.state_size, total + i * job.state_size);
      }
    }
    for (std::size_t i = 0; i < count; ++i) job.finish(kernels_, total + i * job.state_size, first + i, head);
  });
}

// A part is one row, one head and one span; then the spans of each are merged.
void Attention::by_spans(const Job& job) {
  const std::size_t heads = job.shape.kv_heads;
  std::size_t max_spans = 0;
  for (const KvRow& row : job.rows) max_spans = std::max(max_spans, spans_of(row));
  const std::size_t per_row = heads * (max_spans + 1) * job.state_size;
  float* states = room_for(job.rows.size() * per_row);
  const auto state_of = [&](std::size_t row, std::size_t head, std::size_t span) {
    return states + row * per_row + (head * (max_spans + 1) + span) * job.state_size;
  };
  pool_.run(static_cast<int>(job.rows.size() * heads * max_spans), [&](int part, int) {
    const std::size_t span = static_cast<std::size_t>(part) % max_spans;
    const std::size_t head = static_cast<std::size_t>(part) / max_spans % heads;
    const std::size_t row = static_cast<std::size_t>(part) / max_spans / heads;
    if (span >= spans_of(job.rows[row])) return;
    float* current = state_of(row, head, span);
    job.clear(current);
    for (std::size_t block = span * span_blocks; block < (span + 1) * span_blocks; ++block) {
      job.attend(kernels_, row, head, block, current);
    }
  });
  const auto merge_all = [&](int part, int) {
    const std::size_t head = static_cast<std::size_t>(part) % heads;
    const std::size_t row = static_cast<std::size_t>(part) / heads;
    float* total = state_of(row, head, max_spans);
    job.clear(total);
    for (std::size_t span = 0; span < spans_of(job.rows[row]); ++span) {
      job.merge(kernels_, state_of(row, head, span), total);
    }
    job.finish(kernels_, total, row, head);
  };
  pool_.run(static_cast<int>(job.rows.size() * heads), merge_all);
}

}  // namespace compute::cpu
