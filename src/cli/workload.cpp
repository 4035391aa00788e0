#include "cli/workload.h"

#include <algorithm>
#include <vector>

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

using Matrices = std::vector<const compute::Matrix*>;

// What every token goes through: all layers, of the last one the keys and values alone.
Matrices weights_of_all_tokens(const smollm3::Model& model) {
  Matrices weights;
  for (const smollm3::LayerWeights& layer : model.weights().layers) {
    weights.insert(weights.end(), {&layer.k, &layer.v});
    if (&layer == &model.weights().layers.back()) break;
    weights.insert(weights.end(), {&layer.q, &layer.o, &layer.gate, &layer.up, &layer.down});
  }
  return weights;
}

// What besides only tokens with logits go through.
Matrices weights_of_logits(const smollm3::Model& model) {
  const smollm3::LayerWeights& last = model.weights().layers.back();
  return {&last.q, &last.o, &last.gate, &last.up, &last.down, &model.weights().output};
}

void add_products(Workload& work, const Matrices& weights, double tokens) {
  for (const compute::Matrix* weight : weights) add_product(work, *weight, tokens);
}

std::uint64_t bytes_of(const Matrices& weights) {
  std::uint64_t bytes = 0;
  for (const compute::Matrix* weight : weights) bytes += weight->data.size();
  return bytes;
}

// Positions that `tokens` tokens after `depth` others look at, in all: each those before it and itself.
double positions_seen(std::size_t tokens, std::size_t depth) {
  return to_double(tokens) * to_double(depth) + to_double(tokens) * (to_double(tokens) + 1) / 2;
}

// In one layer. A query's dot product with a key, and its share of a value: two operations for each element of either.
double attention_operations(const smollm3::Config& config, double positions) {
  return 4 * positions * to_double(config.query_size());
}

double position_bytes(const compute::KvShape& kv) {
  return to_double(kv.page_bytes()) / to_double(compute::page_positions);
}

}  // namespace

double Workload::least_seconds(const compute::Rates& limits) const {
  double computing = int8_operations / limits.int8_per_second + float_operations / limits.float_per_second;
  if (bf16_operations > 0) computing += bf16_operations / limits.bf16_per_second;
  return std::max(bytes / limits.bytes_per_second, computing);
}

std::uint64_t weight_bytes(const smollm3::Model& model) {
  return bytes_of(weights_of_all_tokens(model)) + bytes_of(weights_of_logits(model));
}

Workload prompt_workload(const smollm3::Model& model, const compute::KvShape& kv, compute::Precision precision,
                         std::size_t tokens, std::size_t depth) {
  const Matrices of_all = weights_of_all_tokens(model);
  const Matrices of_logits = weights_of_logits(model);
  Workload work;
  add_products(work, of_all, to_double(tokens));
  add_products(work, of_logits, 1);
  const double layers = to_double(model.config().layers);
  (precision == compute::Precision::Fast ? work.bf16_operations : work.float_operations) +=
      (layers - 1) * attention_operations(model.config(), positions_seen(tokens, depth)) +
      attention_operations(model.config(), to_double(depth + tokens));
  work.bytes = to_double(bytes_of(of_logits));
  for (std::size_t at = 0; at < tokens; at += model.max_batch()) {
    work.bytes +=
        to_double(bytes_of(of_all)) + position_bytes(kv) * to_double(depth + std::min(at + model.max_batch(), tokens));
  }
  return work;
}

Workload decode_workload(const smollm3::Model& model, const compute::KvShape& kv, std::size_t tokens, std::size_t depth,
                         std::size_t batch) {
  Workload work;
  add_products(work, weights_of_all_tokens(model), to_double(tokens * batch));
  add_products(work, weights_of_logits(model), to_double(tokens * batch));
  const double positions = positions_seen(tokens, depth) * to_double(batch);
  work.float_operations += to_double(model.config().layers) * attention_operations(model.config(), positions);
  work.bytes = to_double(weight_bytes(model)) * to_double(tokens) + position_bytes(kv) * positions;
  return work;
}

}  // namespace cli
