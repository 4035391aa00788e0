#include "quant/fit.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "quant/half.h"

namespace quant {
namespace {

// Sums run in lanes, so that the compiler may keep them in one vector register; every loop below is such a loop.
constexpr std::size_t lanes = 4;
using Lanes = std::array<float, lanes>;

float total(const Lanes& sum) { return (sum[0] + sum[1]) + (sum[2] + sum[3]); }

// To the nearest integer, for magnitudes below 2^22: adding 1.5 * 2^23 leaves no bits for a fraction.
float nearest(float x) {
  constexpr float shift = 12582912.0F;
  return (x + shift) - shift;
}

// As std::clamp, but by value, which the compiler can do in vectors.
float limit(float x, float least, float most) {
  const float above = x < least ? least : x;
  return above > most ? most : above;
}

float square(float x) { return x * x; }

// 1 / x, or 0 for 0: a group of scale 0 has all its weights at q = 0.
float inverse(float x) { return x == 0 ? 0.0F : 1.0F / x; }

// The weights multiplied by a power of two that brings the largest to [0.5, 1), so that no square overflows or is
// flushed to zero, and binary16 numbers on that scale. Weights too small for any group's scale beside the largest are
// zeros from the start.
struct Scaled {
  std::array<float, 256> x;
  int exponent = 0;

  explicit Scaled(std::span<const float> weights) {
    float largest = 0;
    for (const float v : weights) largest = std::max(largest, std::fabs(v));
    x.fill(0);
    if (largest < std::numeric_limits<float>::min()) return;  // zeros and subnormals
    std::frexp(largest, &exponent);
    // Two steps, since the power itself may be too large for a float.
    const float first = std::ldexp(1.0F, -exponent / 2);
    const float second = std::ldexp(1.0F, -exponent - -exponent / 2);
    for (std::size_t i = 0; i < 256; ++i) {
      const float v = weights[i] * first * second;
      x[i] = std::fabs(v) < 0x1p-40F ? 0.0F : v;
    }
  }

  float value(std::uint16_t half) const { return std::ldexp(half_to_float(half), -exponent); }

  std::uint16_t half(float value) const { return scale_to_half(std::ldexp(value, exponent)); }

  // The binary16 unit of which `most` units reach `value`, whose magnitude it is.
  std::uint16_t unit(float value, float most) const {
    std::uint16_t bits = half(value / most);
    if (this->value(bits) * (most + 0.5F) < value) ++bits;
    return bits;
  }

  // `refined` if it is near `before`: a fit that hardly determines it can be anywhere, or nowhere.
  std::uint16_t improved(std::uint16_t before, double refined) const {
    const double ratio = refined / double{value(before)};
    if (!(ratio > 0.5 && ratio < 2)) return before;
    const std::uint16_t bits = float_to_half(std::ldexp(static_cast<float>(refined), exponent));
    return (bits & 0x7fff) == 0x7c00 ? before : bits;
  }
};

// ---- w = scale * q - min ----

using Group = std::span<const float, 32>;

struct Affine {
  float scale = 0;
  float min = 0;
};

// What a least-squares fit needs of the q that a scale and a min give. y = x + min, so that little is lost to
// cancellation where all weights are far from 0.
struct Moments {
  float q = 0;
  float qq = 0;
  float qy = 0;
};

Moments moments(Group x, Affine fit, float top) {
  const float per_scale = inverse(fit.scale);
  Lanes q{};
  Lanes qq{};
  Lanes qy{};
  for (std::size_t i = 0; i < x.size(); i += lanes) {
    for (std::size_t l = 0; l < lanes; ++l) {
      const float y = x[i + l] + fit.min;
      const float v = nearest(limit(y * per_scale, 0.0F, top));
      q[l] += v;
      qq[l] += v * v;
      qy[l] += v * y;
    }
  }
  return {total(q), total(qq), total(qy)};
}

float error(Group x, Affine fit, float top) {
  const float per_scale = inverse(fit.scale);
  Lanes sum{};
  for (std::size_t i = 0; i < x.size(); i += lanes) {
    for (std::size_t l = 0; l < lanes; ++l) {
      const float v = nearest(limit((x[i + l] + fit.min) * per_scale, 0.0F, top));
      sum[l] += square(fit.scale * v - fit.min - x[i + l]);
    }
  }
  return total(sum);
}

struct Solved {
  Affine fit;
  float gain;  // by how much the sum of squares of y exceeds the squared error
};

// The scale and min of least squared error for the q that `from` gives: the line through the points (q, x).
Solved solve(Group x, Affine from, float sum_x, float top) {
  constexpr float n = 32;
  const Moments m = moments(x, from, top);
  const float sum_y = sum_x + n * from.min;
  const float spread = n * m.qq - m.q * m.q;
  if (spread <= 0) {  // all q are the same
    const float scale = m.qy * inverse(m.qq);
    return {{m.qq > 0 ? scale : from.scale, from.min}, scale * m.qy};
  }
  const float scale = (n * m.qy - m.q * sum_y) / spread;
  const float below = (scale * m.q - sum_y) / n;  // y = scale q - below
  if (scale > 0 && below + from.min >= 0) return {{scale, below + from.min}, scale * m.qy - below * sum_y};
  // The min cannot be negative: a line through the origin.
  const float qx = m.qy - from.min * m.q;
  const float steep = std::max(qx / m.qq, 0.0F);
  return {{steep, 0}, steep * qx + from.min * (sum_x + sum_y)};
}

// Starts from ranges somewhat narrower and wider than that of the weights, since to cut off an extreme may serve the
// rest, takes the best of the lines through them, and improves on it by turns: q for the line, a line for the q.
Affine search(Group x, float top) {
  const float low = std::min(0.0F, *std::min_element(x.begin(), x.end()));
  const float high = std::max(0.0F, *std::max_element(x.begin(), x.end()));
  if (high == low) return {};
  Lanes sums{};
  for (std::size_t i = 0; i < x.size(); i += lanes) {
    for (std::size_t l = 0; l < lanes; ++l) sums[l] += x[i + l];
  }
  const float sum_x = total(sums);
  Solved best{{(high - low) / top, -low}, -std::numeric_limits<float>::infinity()};
  for (int start = -10; start <= 4; ++start) {
    const float steps = top + 0.25F * static_cast<float>(start);
    const Solved found = solve(x, {(high - low) / steps, -low}, sum_x, top);
    if (found.gain > best.gain) best = found;
  }
  for (int turn = 0; turn < 2; ++turn) best = solve(x, best.fit, sum_x, top);
  return best.fit;
}

// Of the integers that a group's scale and min can be, those near the wanted ones that leave the least error.
struct Chosen {
  std::uint8_t scale = 0;
  std::uint8_t min = 0;
  float error = 0;
};

Chosen choose(Group x, Affine wanted, float d, float dmin, float top) {
  const int scale = static_cast<int>(nearest(std::min(wanted.scale * inverse(d), 63.0F)));
  const int min = static_cast<int>(nearest(std::min(wanted.min * inverse(dmin), 63.0F)));
  Chosen best;
  best.error = std::numeric_limits<float>::infinity();
  for (const int s : {scale, std::max(0, scale - 1), std::min(63, scale + 1)}) {
    for (const int m : {min, std::max(0, min - 1), std::min(63, min + 1)}) {
      const float found = error(x, {d * static_cast<float>(s), dmin * static_cast<float>(m)}, top);
      if (found < best.error) best = {static_cast<std::uint8_t>(s), static_cast<std::uint8_t>(m), found};
    }
  }
  return best;
}

// A superblock's integers for a given d and dmin, and the squared error they leave.
struct AffineTry {
  std::uint16_t d = 0;
  std::uint16_t dmin = 0;
  std::array<Chosen, 8> groups;
  float error = 0;
};

Group group_of(const Scaled& block, std::size_t j) { return Group(block.x.data() + j * 32, 32); }

AffineTry try_units(const Scaled& block, const std::array<Affine, 8>& wanted, std::uint16_t d, std::uint16_t dmin,
                    float top) {
  AffineTry result{d, dmin, {}, 0};
  for (std::size_t j = 0; j < 8; ++j) {
    result.groups[j] = choose(group_of(block, j), wanted[j], block.value(d), block.value(dmin), top);
    result.error += result.groups[j].error;
  }
  return result;
}

void quantise(Group x, Affine fit, float top, std::uint8_t* q) {
  const float per_scale = inverse(fit.scale);
  for (std::size_t i = 0; i < x.size(); ++i) {
    q[i] = static_cast<std::uint8_t>(nearest(std::clamp((x[i] + fit.min) * per_scale, 0.0F, top)));
  }
}

Affine value_of(const Scaled& block, const AffineTry& units, std::size_t j) {
  return {block.value(units.d) * static_cast<float>(units.groups[j].scale),
          block.value(units.dmin) * static_cast<float>(units.groups[j].min)};
}

// d and dmin of least squared error for the integers of a try: x = d * (scale q) - dmin * min, two unknowns.
AffineTry refine(const Scaled& block, const std::array<Affine, 8>& wanted, const AffineTry& last, float top) {
  double aa = 0;
  double ab = 0;
  double bb = 0;
  double ax = 0;
  double bx = 0;
  for (std::size_t j = 0; j < 8; ++j) {
    const Affine fit = value_of(block, last, j);
    const Group x = group_of(block, j);
    const Moments m = moments(x, fit, top);
    const double a = last.groups[j].scale;
    const double b = last.groups[j].min;
    double sum_x = 0;
    for (const float v : x) sum_x += double{v};
    aa += a * a * double{m.qq};
    ab += a * b * double{m.q};
    bb += b * b * 32;
    ax += a * (double{m.qy} - double{fit.min} * double{m.q});
    bx += b * sum_x;
  }
  // d aa - dmin ab = ax;  d ab - dmin bb = bx. Each alone where the other is of no use.
  const double determinant = ab * ab - aa * bb;
  double d = ax / aa;
  double dmin = -bx / bb;
  if (determinant < 0) {
    d = (bx * ab - ax * bb) / determinant;
    dmin = (aa * bx - ab * ax) / determinant;
  }
  return try_units(block, wanted, block.improved(last.d, d), block.improved(last.dmin, dmin), top);
}

// ---- w = scale * q ----

using Part = std::span<const float, 16>;

float error(Part x, float scale) {
  const float per_scale = inverse(scale);
  Lanes sum{};
  for (std::size_t i = 0; i < x.size(); i += lanes) {
    for (std::size_t l = 0; l < lanes; ++l) {
      const float v = nearest(limit(x[i + l] * per_scale, -32.0F, 31.0F));
      sum[l] += square(scale * v - x[i + l]);
    }
  }
  return total(sum);
}

struct Products {
  float qq = 0;
  float qx = 0;
};

Products products(Part x, float scale) {
  const float per_scale = inverse(scale);
  Lanes qq{};
  Lanes qx{};
  for (std::size_t i = 0; i < x.size(); i += lanes) {
    for (std::size_t l = 0; l < lanes; ++l) {
      const float v = nearest(limit(x[i + l] * per_scale, -32.0F, 31.0F));
      qq[l] += v * v;
      qx[l] += v * x[i + l];
    }
  }
  return {total(qq), total(qx)};
}

// Starts from scales that put the widest weight at -26 to -34 steps (q ends at -32), and takes the best of the fits to
// the q they give.
float search(Part x) {
  const float widest =
      *std::max_element(x.begin(), x.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); });
  if (widest == 0) return 0;
  float best = 0;
  float most = 0;  // what the fit takes off the sum of squares
  for (int start = -12; start <= 4; ++start) {
    const Products p = products(x, -widest / (32 + 0.5F * static_cast<float>(start)));
    const float scale = p.qx / p.qq;
    if (p.qx * scale <= most) continue;
    most = p.qx * scale;
    best = scale;
  }
  const Products p = products(x, best);
  return p.qx / p.qq;
}

Part part_of(const Scaled& block, std::size_t j) { return Part(block.x.data() + j * 16, 16); }

struct SymmetricTry {
  std::uint16_t d = 0;
  std::array<std::int8_t, 16> scale{};
  float error = 0;
};

SymmetricTry try_unit(const Scaled& block, const std::array<float, 16>& wanted, std::uint16_t bits) {
  SymmetricTry result{bits, {}, 0};
  const float d = block.value(bits);
  for (std::size_t j = 0; j < 16; ++j) {
    const int near = static_cast<int>(nearest(std::clamp(wanted[j] * inverse(d), -128.0F, 127.0F)));
    float least = std::numeric_limits<float>::infinity();
    for (const int s : {near, std::max(-128, near - 1), std::min(127, near + 1)}) {
      const float found = error(part_of(block, j), d * static_cast<float>(s));
      if (found >= least) continue;
      least = found;
      result.scale[j] = static_cast<std::int8_t>(s);
    }
    result.error += least;
  }
  return result;
}

SymmetricTry refine(const Scaled& block, const std::array<float, 16>& wanted, const SymmetricTry& last) {
  double aa = 0;
  double ax = 0;
  for (std::size_t j = 0; j < 16; ++j) {
    const double a = last.scale[j];
    const Products p = products(part_of(block, j), block.value(last.d) * static_cast<float>(last.scale[j]));
    aa += a * a * double{p.qq};
    ax += a * double{p.qx};
  }
  return try_unit(block, wanted, block.improved(last.d, ax / aa));
}

}  // namespace

std::uint16_t scale_to_half(float scale) {
  const std::uint16_t bits = float_to_half(scale);
  if ((bits & 0x7fff) == 0x7c00) {
    throw base::Error("tensor", "holds values too large for the scales of this type",
                      "choose a float type, or repair the model");
  }
  return bits;
}

AffineBlock fit_affine(std::span<const float> x, int top) {
  const Scaled block(x);
  const auto last_q = static_cast<float>(top);
  std::array<Affine, 8> wanted;
  float scale = 0;
  float min = 0;
  for (std::size_t j = 0; j < 8; ++j) {
    wanted[j] = search(group_of(block, j), last_q);
    scale = std::max(scale, wanted[j].scale);
    min = std::max(min, wanted[j].min);
  }
  AffineTry best = try_units(block, wanted, block.unit(scale, 63), block.unit(min, 63), last_q);
  for (int round = 0; round < 2; ++round) {
    const AffineTry next = refine(block, wanted, best, last_q);
    if (!(next.error < best.error)) break;
    best = next;
  }
  AffineBlock result{best.d, best.dmin, {}, {}, {}};
  for (std::size_t j = 0; j < 8; ++j) {
    result.scale[j] = best.groups[j].scale;
    result.min[j] = best.groups[j].min;
    quantise(group_of(block, j), value_of(block, best, j), last_q, &result.q[j * 32]);
  }
  return result;
}

SymmetricBlock fit_symmetric(std::span<const float> x) {
  const Scaled block(x);
  std::array<float, 16> wanted;
  for (std::size_t j = 0; j < 16; ++j) wanted[j] = search(part_of(block, j));
  const float widest =
      *std::max_element(wanted.begin(), wanted.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); });
  // The widest scale becomes -128 units.
  std::uint16_t d = block.unit(std::fabs(widest), 128);
  if (widest > 0) d |= 0x8000;
  SymmetricTry best = try_unit(block, wanted, d);
  for (int round = 0; round < 2; ++round) {
    const SymmetricTry next = refine(block, wanted, best);
    if (!(next.error < best.error)) break;
    best = next;
  }
  SymmetricBlock result{best.d, best.scale, {}};
  for (std::size_t i = 0; i < 256; ++i) {
    const float scale = block.value(best.d) * static_cast<float>(best.scale[i / 16]);
    result.q[i] = static_cast<std::int8_t>(nearest(std::clamp(block.x[i] * inverse(scale), -32.0F, 31.0F)));
  }
  return result;
}

}  // namespace quant
