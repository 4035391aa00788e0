#include "cli/workload.h"

#include <algorithm>

namespace cli {
namespace {

double to_double(std::uint64_t value) { return static_cast<double>(value); }

bool is_float(quant::Type type) {
  return type == quant::Type::F32 || type == quant::Type::F16 || type == quant::Type::BF16;
}

// A product and a sum for each weight and token.
void add_product(Workload& work, const compute::Matrix& weight, double tokens) {
  const double operations = 2 * to_double(weight.rows) * to_double(weight.cols) * tokens;
  (is_float(weight.type) ? work.float_operations : work.int8_operations) += operations;
}

void add_layers(Workload& work, const smollm3::Model& model, double tokens) {
  for (const smollm3::LayerWeights& layer : model.weights().layers) {
    for (const compute::Matrix* weight :
         {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
      add_product(work, *weight, tokens);
    }
  }
}

// Positions that `tokens` tokens after `depth` others look at, in all: each those before it and itself.
double positions_seen(std::size_t tokens, std::size_t depth) {
  return to_double(tokens) * to_double(depth) + to_double(tokens) * (to_double(tokens) + 1) / 2;
}

// A query's dot product with a key, and its share of a value: two operations for each element of either.
double attention_operations(const smollm3::Config& config, double positions) {
  return 4 * positions * to_double(config.query_size()) * to_double(config.layers);
}

double position_bytes(const compute::KvShape& kv) {
  return to_double(kv.page_bytes()) / to_double(compute::page_positions);
}

}  // namespace

double Workload::least_seconds(const Limits& limits) const {
  const double computing = int8_operations / limits.int8_per_second + float_operations / limits.float_per_second;
  return std::max(bytes / limits.bytes_per_second, computing);
}

std::uint64_t weight_bytes(const smollm3::Model& model) {
  std::uint64_t bytes = model.weights().output.data.size();
  for (const smollm3::LayerWeights& layer : model.weights().layers) {
    for (const compute::Matrix* weight :
         {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
      bytes += weight->data.size();
    }
  }
  return bytes;
}

Workload prompt_workload(const smollm3::Model& model, const compute::KvShape& kv, std::size_t tokens,
                         std::size_t depth) {
  Workload work;
  add_layers(work, model, to_double(tokens));
  add_product(work, model.weights().output, 1);
  work.float_operations += attention_operations(model.config(), positions_seen(tokens, depth));
  for (std::size_t at = 0; at < tokens; at += smollm3::Model::max_batch) {
    work.bytes += to_double(weight_bytes(model)) +
                  position_bytes(kv) * to_double(depth + std::min(at + smollm3::Model::max_batch, tokens));
  }
  return work;
}

Workload decode_workload(const smollm3::Model& model, const compute::KvShape& kv, std::size_t tokens, std::size_t depth,
                         std::size_t batch) {
  Workload work;
  add_layers(work, model, to_double(tokens * batch));
  add_product(work, model.weights().output, to_double(tokens * batch));
  const double positions = positions_seen(tokens, depth) * to_double(batch);
  work.float_operations += attention_operations(model.config(), positions);
  work.bytes = to_double(weight_bytes(model)) * to_double(tokens) + position_bytes(kv) * positions;
  return work;
}

}  // namespace cli
