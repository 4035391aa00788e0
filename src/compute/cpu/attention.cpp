#include "compute/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

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

void Attention::run(const KvShape& shape, std::size_t layer, View q, std::span<const KvRow> rows, Precision precision,
                    float* out) {
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
  if (precision == Precision::Fast && kernels_.attend_prompt != nullptr) return by_prompts(job);
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

constexpr std::size_t most_queries = 1024;  // of a part

// A part is one head and consecutive positions of one sequence.
void Attention::by_prompts(const Job& job) {
  // Each part packs all keys and values before it, so it should have many rows, as long as there are parts for all
  // threads.
  const std::size_t wanted_parts = 4 * static_cast<std::size_t>(pool_.size());
  // The scratch memory of a part grows with the queries that share a key/value head.
  const std::size_t room = std::max<std::size_t>(most_queries / job.group, 1);
  const std::size_t most =
      std::min(room, std::clamp<std::size_t>(job.rows.size() * job.shape.kv_heads / wanted_parts, 64, 256));
  struct Piece {
    std::size_t first;
    std::size_t rows;
  };
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < job.rows.size(); ++i) {
    const bool follows = i != 0 && job.rows[i].pages.data() == job.rows[i - 1].pages.data() &&
                         job.rows[i].position == job.rows[i - 1].position + 1;
    if (!follows || pieces.back().rows == most) pieces.push_back({i, 0});
    ++pieces.back().rows;
  }
  const std::size_t scratch = kernels_.prompt_scratch(most * job.group, job.shape.head_size) / sizeof(float);
  float* memory = room_for(static_cast<std::size_t>(pool_.size()) * scratch);
  pool_.run(static_cast<int>(pieces.size() * job.shape.kv_heads), [&](int part, int thread) {
    const std::size_t head = static_cast<std::size_t>(part) % job.shape.kv_heads;
    // Later rows see more: the largest parts first, so that all threads finish together.
    const Piece& piece = pieces[pieces.size() - 1 - static_cast<std::size_t>(part) / job.shape.kv_heads];
    const std::size_t column = head * job.group * job.shape.head_size;
    kernels_.attend_prompt({
        .pages = job.rows[piece.first].pages.data(),
        .key_offset = job.shape.key_offset(job.layer, head),
        .value_offset = job.shape.value_offset(job.layer, head),
        .half = job.shape.type == quant::Type::F16,
        .head_size = job.shape.head_size,
        .first_position = job.rows[piece.first].position,
        .rows = piece.rows,
        .queries = job.group,
        .q = job.q.data + piece.first * job.q.stride + column,
        .q_stride = job.q.stride,
        .scale = job.scale,
        .out = job.out + piece.first * job.q.cols + column,
        .out_stride = job.q.cols,
        .scratch = reinterpret_cast<std::byte*>(memory + static_cast<std::size_t>(thread) * scratch),
    });
  });
}

}  // namespace compute::cpu
