// Everything but the products as docs/numerics.md defines it, in plain C++: the reference for every other instruction
// set.
#include "compute/cpu/scalar.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "quant/half.h"

namespace compute::cpu {
namespace scalar {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

// The scale of a group of activations and its inverse, from the largest magnitude as bits: NaN and infinity compare
// above every number, make the scale NaN, and with it every output.
struct Scale {
  float d;
  float inverse;
};

Scale scale_of(std::uint32_t largest) {
  if (largest >= 0x7f800000) return {std::numeric_limits<float>::quiet_NaN(), 0};
  const float amax = std::bit_cast<float>(largest);
  if (amax < 0x1p-100F) return {0, 0};  // 127 / amax would overflow
  return {amax / 127.0F, 127.0F / amax};
}

std::uint32_t largest_magnitude(const float* x, std::size_t count) {
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < count; ++i) largest = std::max(largest, std::bit_cast<std::uint32_t>(x[i]) & 0x7fffffffU);
  return largest;
}

std::int8_t quantise(float x, float inverse) {
  return inverse == 0 ? std::int8_t{0} : static_cast<std::int8_t>(std::lrint(x * inverse));
}

void quantise_super(const float* x, std::size_t cols, SuperRow* out, std::size_t stride) {
  for (std::size_t b = 0; b < cols / 256; ++b, x += 256, out += stride) {
    const Scale scale = scale_of(largest_magnitude(x, 256));
    out->d = scale.d;
    for (std::size_t i = 0; i < 256; ++i) out->q[i] = quantise(x[i], scale.inverse);
    for (std::size_t g = 0; g < 16; ++g) {
      int sum = 0;
      for (std::size_t i = g * 16; i < g * 16 + 16; ++i) sum += out->q[i];
      out->sums16[g] = static_cast<std::int16_t>(sum);
    }
    for (std::size_t g = 0; g < 8; ++g) {
      out->sums32[g] = static_cast<std::int16_t>(out->sums16[2 * g] + out->sums16[2 * g + 1]);
    }
  }
}

void quantise_small(const float* x, std::size_t cols, SmallRow* out, std::size_t stride) {
  for (std::size_t b = 0; b < cols / 32; ++b, x += 32, out += stride) {
    const Scale scale = scale_of(largest_magnitude(x, 32));
    out->d = scale.d;
    out->sum = 0;
    for (std::size_t i = 0; i < 32; ++i) {
      out->q[i] = quantise(x[i], scale.inverse);
      out->sum += out->q[i];
    }
  }
}

// e^x = 2^n e^r with n = x / ln 2 to the nearest integer, |r| <= ln 2 / 2, and e^r a polynomial.
float exponential_of(float x) {
  constexpr float to_integer = 0x1.8p23F;  // a float this large has no fraction: adding it rounds
  const float shifted = std::fma(x, 0x1.715476p+0F, to_integer);
  const float n = shifted - to_integer;
  float r = std::fma(n, -0x1.62e4p-1F, x);
  r = std::fma(n, -0x1.7f7d1cp-20F, r);
  float p = 0x1.a01a02p-13F;            // 1/5040
  p = std::fma(p, r, 0x1.6c16c2p-10F);  // 1/720
  p = std::fma(p, r, 0x1.111112p-7F);   // 1/120
  p = std::fma(p, r, 0x1.555556p-5F);   // 1/24
  p = std::fma(p, r, 0x1.555556p-3F);   // 1/6
  p = std::fma(p, r, 0.5F);
  p = std::fma(p, r, 1.0F);
  p = std::fma(p, r, 1.0F);
  const float power = std::bit_cast<float>((std::bit_cast<std::uint32_t>(shifted) << 23) + 0x3f800000U);
  if (x < -87.0F) return 0;
  if (x > 88.0F) return infinity;
  return p * power;
}

void exponential(const float* x, std::size_t count, float* y) {
  for (std::size_t i = 0; i < count; ++i) y[i] = exponential_of(x[i]);
}

void rms_norm(const float* x, const float* gain, std::size_t cols, float epsilon, float* y) {
  std::array<float, 16> lanes{};
  for (std::size_t i = 0; i < cols; ++i) lanes[i % 16] = std::fma(x[i], x[i], lanes[i % 16]);
  const float inverse = 1.0F / std::sqrt(sum_tree(lanes) / static_cast<float>(cols) + epsilon);
  for (std::size_t i = 0; i < cols; ++i) y[i] = x[i] * inverse * gain[i];
}

void swiglu(const float* gate, const float* up, std::size_t count, float* y) {
  for (std::size_t i = 0; i < count; ++i) y[i] = gate[i] / (1.0F + exponential_of(-gate[i])) * up[i];
}

void rope(float* x, const float* cos_sin, std::size_t head_size) {
  for (std::size_t i = 0; i < head_size; i += 2) {
    const float c = cos_sin[i];
    const float s = cos_sin[i + 1];
    const float even = std::fma(x[i], c, -(x[i + 1] * s));
    const float odd = std::fma(x[i + 1], c, x[i] * s);
    x[i] = even;
    x[i + 1] = odd;
  }
}

void to_half(const float* x, std::size_t count, std::uint16_t* y) {
  for (std::size_t i = 0; i < count; ++i) y[i] = quant::float_to_half(x[i]);
}

float element(const void* data, bool half, std::size_t i) {
  return half ? quant::half_to_float(static_cast<const std::uint16_t*>(data)[i]) : static_cast<const float*>(data)[i];
}

void attend_query(const AttentionBlock& block, const float* q, float* state) {
  std::array<float, 64> score;
  float block_max = -infinity;
  for (std::size_t j = 0; j < block.visible; ++j) {
    float dot = 0;
    for (std::size_t d = 0; d < block.head_size; ++d) {
      dot = std::fma(q[d], element(block.keys, block.half, d * 64 + j), dot);
    }
    score[j] = dot * block.scale;
    block_max = score[j] > block_max ? score[j] : block_max;
  }
  float& max = state[0];
  float& sum = state[1];
  float* weighted = state + state_header;
  const float new_max = block_max > max ? block_max : max;
  const float shrink = exponential_of(max - new_max);
  max = new_max;

  std::array<float, 64> p{};
  std::array<float, 16> lanes{};
  for (std::size_t j = 0; j < block.visible; ++j) p[j] = exponential_of(score[j] - new_max);
  for (std::size_t j = 0; j < 64; ++j) lanes[j % 16] += p[j];
  sum = std::fma(sum, shrink, sum_tree(lanes));
  for (std::size_t d = 0; d < block.head_size; ++d) {
    float acc = weighted[d] * shrink;
    for (std::size_t j = 0; j < block.visible; ++j) {
      acc = std::fma(p[j], element(block.values, block.half, j * block.head_size + d), acc);
    }
    weighted[d] = acc;
  }
}

void attend(const AttentionBlock& block) {
  for (std::size_t i = 0; i < block.queries; ++i) {
    attend_query(block, block.q + i * block.head_size, block.states + i * (block.head_size + state_header));
  }
}

void merge(const float* span, std::size_t head_size, float* total) {
  const float max = span[0] > total[0] ? span[0] : total[0];
  const float old_share = exponential_of(total[0] - max);
  const float new_share = exponential_of(span[0] - max);
  total[0] = max;
  total[1] = std::fma(total[1], old_share, span[1] * new_share);
  for (std::size_t d = state_header; d < head_size + state_header; ++d) {
    total[d] = std::fma(total[d], old_share, span[d] * new_share);
  }
}

void finish(const float* state, std::size_t head_size, float* out) {
  for (std::size_t d = 0; d < head_size; ++d) out[d] = state[state_header + d] / state[1];
}

bool may_be_drawn(const std::uint64_t* allowed, std::size_t i) {
  return allowed == nullptr || (allowed[i / 64] >> (i % 64) & 1) != 0;
}

float greatest(const float* logits, const std::uint64_t* allowed, std::size_t count, bool& finite) {
  float most = -infinity;
  for (std::size_t i = 0; i < count; ++i) {
    if (!std::isfinite(logits[i])) finite = false;
    if (may_be_drawn(allowed, i) && logits[i] > most) most = logits[i];
  }
  return most;
}

std::uint64_t weigh(const float* logits, const std::uint64_t* allowed, std::size_t count, float greatest_logit,
                    float inverse, float* weights) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::int32_t weight = 0;
    if (may_be_drawn(allowed, i)) {
      weight = static_cast<std::int32_t>(std::lrint(exponential_of((logits[i] - greatest_logit) * inverse) * 0x1p30F));
    }
    if (weights != nullptr) weights[i] = static_cast<float>(weight);
    sum += static_cast<std::uint32_t>(weight);
  }
  return sum;
}

std::size_t collect(const float* x, std::size_t count, float least, std::uint32_t first, float* values,
                    std::uint32_t* tokens) {
  std::size_t found = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (x[i] < least) continue;
    values[found] = x[i];
    tokens[found++] = first + static_cast<std::uint32_t>(i);
  }
  return found;
}

}  // namespace
}  // namespace scalar

const Kernels& scalar_kernels() {
  static const Kernels kernels = {
      .name = "scalar",
      .quantise_super = scalar::quantise_super,
      .quantise_small = scalar::quantise_small,
      .product_q2_k = scalar::product_q2_k,
      .product_q3_k = scalar::product_q3_k,
      .product_q4_k = scalar::product_q4_k,
      .product_q5_k = scalar::product_q5_k,
      .product_q6_k = scalar::product_q6_k,
      .product_iq4_xs = scalar::product_iq4_xs,
      .product_q8_0 = scalar::product_q8_0,
      .product_q4_0 = scalar::product_q4_0,
      .product_q4_1 = scalar::product_q4_1,
      .product_q5_0 = scalar::product_q5_0,
      .product_q5_1 = scalar::product_q5_1,
      .product_iq4_nl = scalar::product_iq4_nl,
      .product_f32 = scalar::product_f32,
      .product_f16 = scalar::product_f16,
      .product_bf16 = scalar::product_bf16,
      .rms_norm = scalar::rms_norm,
      .swiglu = scalar::swiglu,
      .rope = scalar::rope,
      .to_half = scalar::to_half,
      .exponential = scalar::exponential,
      .attend = scalar::attend,
      .merge = scalar::merge,
      .finish = scalar::finish,
      .greatest = scalar::greatest,
      .weigh = scalar::weigh,
      .collect = scalar::collect,
  };
  return kernels;
}

}  // namespace compute::cpu
