// Products of K-quants with one activation row, where reading the weights from memory takes longer than the arithmetic.
// The lanes are columns, so that the bytes of a row are used as they lie. Four weight rows are taken together: their
// float chains (docs/numerics.md) run side by side in one vector of four, and their headers are unpacked together.
//
// Everything is in an anonymous namespace and calls no library function: each instruction set's file gets its own copy.
#pragma once

#include <immintrin.h>

#include "compute/cpu/kernels.h"

namespace compute::cpu {
namespace {

// The same block of four rows.
struct FourRows {
  const std::uint8_t* row[4];

  FourRows at(std::size_t bytes) const { return {{row[0] + bytes, row[1] + bytes, row[2] + bytes, row[3] + bytes}}; }
};

// The float chains of four rows, one to a lane.
[[gnu::always_inline]] inline void add_product(__m128& acc, __m128 d, float dx, __m128i sum) {
  acc = _mm_fmadd_ps(_mm_mul_ps(d, _mm_set1_ps(dx)), _mm_cvtepi32_ps(sum), acc);
}
[[gnu::always_inline]] inline void subtract_mins(__m128& acc, __m128 dmin, float dx, __m128i sum) {
  acc = _mm_fnmadd_ps(_mm_mul_ps(dmin, _mm_set1_ps(dx)), _mm_cvtepi32_ps(sum), acc);
}

// Lane i: the sum of the lanes of each[i].
[[gnu::always_inline]] inline __m128i sums_of_lanes(const __m256i (&each)[4]) {
  const __m256i a = _mm256_hadd_epi32(each[0], each[1]);
  const __m256i b = _mm256_hadd_epi32(each[2], each[3]);
  const __m256i ab = _mm256_hadd_epi32(a, b);
  return _mm_add_epi32(_mm256_castsi256_si128(ab), _mm256_extracti128_si256(ab, 1));
}

// Factors of four rows: those in the low and in the high halves of 32-bit lanes.
struct Halves {
  __m128 low;
  __m128 high;
};
[[gnu::always_inline]] inline Halves halves(__m128i x) {
  const __m128i order = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
  const __m256 floats = _mm256_cvtph_ps(_mm_shuffle_epi8(x, order));
  return {_mm256_castps256_ps128(floats), _mm256_extractf128_ps(floats, 1)};
}

inline std::uint16_t load16(const void* p) {
  std::uint16_t value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

// One binary16 of each row.
[[gnu::always_inline]] inline __m128 load_halves(const FourRows& w, std::size_t offset) {
  __m128i packed = _mm_cvtsi32_si128(load16(w.row[0] + offset));
  packed = _mm_insert_epi16(packed, load16(w.row[1] + offset), 1);
  packed = _mm_insert_epi16(packed, load16(w.row[2] + offset), 2);
  packed = _mm_insert_epi16(packed, load16(w.row[3] + offset), 3);
  return _mm_cvtph_ps(packed);
}

// y for one activation row. Format::multiply(w, x, acc) adds one block's part to the chains of four rows.
template <typename Format>
void product_of_rows(const WeightRows& w, const SuperRow* x, const Output& out) {
  constexpr std::size_t block = Format::block_bytes;
  // Left to itself the processor does not follow four rows at once. What follows in memory is therefore asked for, as
  // far ahead as memory is slow, and at least by these four rows; into the second-level cache, since the first is full
  // of activations.
  constexpr std::size_t latency_bytes = std::size_t{16} << 10;
  const std::size_t ahead = latency_bytes > 4 * w.row_bytes ? latency_bytes : 4 * w.row_bytes;
  for (std::size_t r = 0; r < w.rows; r += 4) {
    const std::uint8_t* first = w.data + r * w.row_bytes;
    const std::size_t rows = w.rows - r < 4 ? w.rows - r : 4;
    FourRows four;
    for (std::size_t i = 0; i < 4; ++i)
      four.row[i] = first + (i < rows ? i : 0) * w.row_bytes;  // more is left out below
    __m128 acc = _mm_setzero_ps();
    for (std::size_t b = 0; b < w.cols / 256; ++b) {
      for (std::size_t at = 0; at < 4 * block; at += 64) __builtin_prefetch(first + ahead + b * 4 * block + at, 0, 2);
      Format::multiply(four.at(b * block), x[b], acc);
    }
    alignas(16) float sums[4];
    _mm_store_ps(sums, acc);
    float* y = out.y + r;
    for (std::size_t i = 0; i < rows; ++i) y[i] = out.add ? y[i] + sums[i] : sums[i];
  }
}

}  // namespace
}  // namespace compute::cpu
