// softmax(q kᵀ / √head_size) v for many queries of one key/value head, on AMX tiles in BF16.
//
// Spans of 512 positions, aligned to absolute ones, are taken one after another. A span's keys and values are packed as
// tiles once and used by all queries, 32 at a time: S = Q Kᵀ (32 × 512 floats), the softmax's running maximum and sum,
// P = 2^(S − maximum) as BF16 in the place of S, O = O · shrink + P V.
//
// Cost for 32 queries and a span at a head size of 128: 256 tile products for S and 256 for P V (16 cycles each), and
// 1,024 vectors through the exponential. Keys and values (256 KB) stay in the second-level cache.
#include "compute/cpu/amx_attention.h"

#include <immintrin.h>

#include "compute/cpu/tiles.h"

namespace compute::cpu {
namespace {

constexpr std::size_t span_positions = 512;
constexpr std::size_t span_tiles = span_positions / tile_rows;  // of scores, across
constexpr std::size_t page_size = 64;                           // positions of a block of keys or values
constexpr std::size_t unit_queries = 2 * tile_rows;
constexpr std::size_t step = 32;                            // what a tile of BF16 has of the summed dimension
constexpr std::size_t tile_floats = tile_rows * tile_rows;  // of a tile of sums

std::size_t round_up(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

// Where everything lies in a thread's scratch memory, in bytes. Head sizes count in steps of 32, filled up with zeros.
struct Layout {
  Layout(std::size_t queries, std::size_t head_size)
      : steps((head_size + step - 1) / step),
        units((queries + unit_queries - 1) / unit_queries),
        values(span_tiles * steps * tile_bytes),
        scores(values + span_positions / step * 2 * steps * tile_bytes),
        queries_at(scores + 2 * span_tiles * tile_bytes),
        weighted(queries_at + units * 2 * steps * tile_bytes),
        states(weighted + units * 4 * steps * tile_bytes),
        end(states + units * unit_queries * sizeof(float) * 2) {}

  std::size_t steps;
  std::size_t units;
  std::size_t keys = 0;    // [tile of 16 positions][step of head][tile]
  std::size_t values;      // [tile of 16 of the head][step of positions][tile]
  std::size_t scores;      // [2][tile of 16 positions][tile of floats], or [2][step of positions][tile of BF16]
  std::size_t queries_at;  // [unit][2][step of head][tile]
  std::size_t weighted;    // [unit][2][tile of 16 of the head][tile of floats]
  std::size_t states;      // [unit][32] maxima, then as many sums
  std::size_t end;
};

// Rounded to BF16, nearest even, in the upper half of each lane; the lower half is undefined.
__m512i to_bfloat(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  return _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), _mm512_set1_epi32(0x7fc00000));
}

// Lanes of the upper halves of a and b: a below, b above.
__m512i pair_halves(__m512i a, __m512i b) { return _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(a, 16), b); }

struct Half {
  using Element = std::uint16_t;
  static __m512 load(const Element* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
};
struct Full {
  using Element = float;
  static __m512 load(const Element* p) { return _mm512_loadu_ps(p); }
};

// A thread's work on one part.
class Prompt {
 public:
  explicit Prompt(const PromptPart& part)
      : part_(part),
        queries_(part.rows * part.queries),
        at_(queries_, part.head_size),
        keys_(part.scratch + at_.keys),
        values_(part.scratch + at_.values),
        scores_(part.scratch + at_.scores),
        maxima_(reinterpret_cast<float*>(part.scratch + at_.states)),
        sums_(maxima_ + at_.units * unit_queries) {}

  void run() {
    pack_queries();
    clear_states();
    const std::size_t end = part_.first_position + part_.rows;
    const Tiles tiles;
    for (std::size_t first = 0; first < end; first += span_positions) {
      const std::size_t stop = end < first + span_positions ? end : first + span_positions;
      for (std::size_t position = first; position < stop; position += page_size) {
        if (part_.half) {
          pack_page<Half>(part_.pages[position / page_size], position - first);
        } else {
          pack_page<Full>(part_.pages[position / page_size], position - first);
        }
      }
      for (std::size_t unit = 0; unit < at_.units; ++unit) add_span(unit, first);
    }
    write_out();
  }

 private:
  // Queries times scale · log₂ e, so that the softmax's exponentials are powers of two.
  void pack_queries() {
    const __m512 scale = _mm512_set1_ps(part_.scale * 0x1.715476p+0F);
    for (std::size_t i = 0; i < at_.units * unit_queries; ++i) {
      std::byte* tile = part_.scratch + at_.queries_at + i / tile_rows * at_.steps * tile_bytes;
      for (std::size_t d = 0; d < at_.steps * step; d += tile_rows) {
        __m512i bits = _mm512_setzero_si512();
        if (i < queries_ && d < part_.head_size) {
          bits = to_bfloat(_mm512_mul_ps(_mm512_loadu_ps(query(i) + d), scale));
        }
        std::byte* to = tile + d / step * tile_bytes + i % tile_rows * tile_row_bytes + d % step * 2;
        _mm256_store_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
      }
    }
  }

  const float* query(std::size_t i) const {
    return part_.q + i / part_.queries * part_.q_stride + i % part_.queries * part_.head_size;
  }

  void clear_states() {
    for (std::size_t i = 0; i < at_.units * unit_queries; ++i) {
      maxima_[i] = -__builtin_inff();
      sums_[i] = 0;
    }
    float* weighted = weighted_of(0);
    for (std::size_t i = 0; i < at_.units * 4 * at_.steps * tile_floats; i += 16) {
      _mm512_store_ps(weighted + i, _mm512_setzero_ps());
    }
  }

  float* weighted_of(std::size_t unit) {
    return reinterpret_cast<float*>(part_.scratch + at_.weighted) + unit * 4 * at_.steps * tile_floats;
  }

  // A page's keys and values as tiles, from position `first` of the span on.
  //
  // Tiles of keys hold two neighbouring d of 16 positions side by side. Tiles of values hold positions j and j + 16 of
  // 16 d side by side: that is the order in which soften() leaves the weights of 32 positions. Slots that were never
  // written may hold anything, and a weight of 0 times infinity would be NaN: what is not finite is replaced by 0 in
  // the values, and by NaN in that position's key, which whoever sees the position still meets.
  template <typename Type>
  void pack_page(const std::byte* page, std::size_t first) {
    using Element = typename Type::Element;
    const auto* keys = reinterpret_cast<const Element*>(page + part_.key_offset);
    const auto* values = reinterpret_cast<const Element*>(page + part_.value_offset);
    for (std::size_t d = 0; d < at_.steps * step; d += 2) {
      std::byte* to = keys_ + (first / tile_rows * at_.steps + d / step) * tile_bytes + d % step / 2 * tile_row_bytes;
      for (std::size_t j = 0; j < page_size; j += tile_rows) {
        __m512i pair = _mm512_setzero_si512();
        if (d < part_.head_size) {
          const Element* p = keys + d * page_size + j;
          pair = pair_halves(to_bfloat(Type::load(p)), to_bfloat(Type::load(p + page_size)));
        }
        _mm512_store_si512(to + j / tile_rows * at_.steps * tile_bytes, pair);
      }
    }
    for (std::size_t block = 0; block < page_size; block += step) {
      for (std::size_t row = 0; row < tile_rows; ++row) {
        const std::size_t position = block + row;
        const __mmask32 bad = pack_values<Type>(values + position * part_.head_size, (first + block) / step, row);
        if ((bad & 0x55555555U) != 0) spoil_key(first + position);
        if ((bad & 0xaaaaaaaaU) != 0) spoil_key(first + position + tile_rows);
      }
    }
  }

  // Values of two positions, 16 apart, as row `row` of the tiles; returns which elements were not finite.
  template <typename Type>
  __mmask32 pack_values(const typename Type::Element* p, std::size_t position_step, std::size_t row) {
    const __m512i exponent = _mm512_set1_epi16(0x7f80);
    __mmask32 bad = 0;
    for (std::size_t d = 0; d < at_.steps * step; d += tile_rows) {
      __m512i pair = _mm512_setzero_si512();
      if (d < part_.head_size) {
        pair = pair_halves(to_bfloat(Type::load(p + d)), to_bfloat(Type::load(p + tile_rows * part_.head_size + d)));
        const __mmask32 infinite = _mm512_cmpeq_epi16_mask(_mm512_and_si512(pair, exponent), exponent);
        pair = _mm512_maskz_mov_epi16(~infinite, pair);
        bad |= infinite;
      }
      std::byte* tile = values_ + (d / tile_rows * (span_positions / step) + position_step) * tile_bytes;
      _mm512_store_si512(tile + row * tile_row_bytes, pair);
    }
    return bad;
  }

  void spoil_key(std::size_t position) {
    constexpr std::uint16_t not_a_number = 0x7fc0;
    std::byte* tile = keys_ + position / tile_rows * at_.steps * tile_bytes;
    __builtin_memcpy(tile + position % tile_rows * 4, &not_a_number, sizeof not_a_number);
  }

  // Positions of the span from `first` on that query i sees.
  std::size_t visible(std::size_t i, std::size_t first) const {
    const std::size_t position = part_.first_position + i / part_.queries;
    if (i >= queries_ || position < first) return 0;
    const std::size_t count = position - first + 1;
    return count < span_positions ? count : span_positions;
  }

  // What lies beyond the last position that a query of the unit sees is left out: it would add zeros.
  void add_span(std::size_t unit, std::size_t first) {
    const std::size_t last = (unit + 1) * unit_queries < queries_ ? (unit + 1) * unit_queries : queries_;
    const std::size_t width = round_up(visible(last - 1, first), step);
    if (width == 0) return;
    multiply_keys(unit, width);
    for (std::size_t i = 0; i < unit_queries; ++i) {
      const std::size_t query = unit * unit_queries + i;
      const float shrink = soften(i, visible(query, first), width, maxima_[query], sums_[query]);
      if (shrink != 1.0F) scale_weighted(unit, i, shrink);
    }
    multiply_values(unit, width);
  }

  // Scores of the unit: 32 × width.
  void multiply_keys(std::size_t unit, std::size_t width) {
    const std::byte* q = part_.scratch + at_.queries_at + unit * 2 * at_.steps * tile_bytes;
    const std::size_t row = at_.steps * tile_bytes;
    for (std::size_t tile = 0; tile < width / tile_rows; tile += 2) {
      const std::byte* k = keys_ + tile * row;
      tile_zero<0>();
      tile_zero<1>();
      tile_zero<2>();
      tile_zero<3>();
      for (std::size_t s = 0; s < row; s += tile_bytes) {
        tile_load<4>(q + s, tile_row_bytes);
        tile_load<6>(k + s, tile_row_bytes);
        tile_load<7>(k + row + s, tile_row_bytes);
        tile_load<5>(q + row + s, tile_row_bytes);
        tile_dot_bf16<0, 4, 6>();
        tile_dot_bf16<1, 4, 7>();
        tile_dot_bf16<2, 5, 6>();
        tile_dot_bf16<3, 5, 7>();
      }
      std::byte* to = scores_ + tile * tile_bytes;
      tile_store<0>(to, tile_row_bytes);
      tile_store<1>(to + tile_bytes, tile_row_bytes);
      tile_store<2>(to + span_tiles * tile_bytes, tile_row_bytes);
      tile_store<3>(to + (span_tiles + 1) * tile_bytes, tile_row_bytes);
    }
  }

  // 2^x for x <= 0: 2^(x - ⌊x⌋) by a polynomial, at most 3 · 10⁻⁶ off, scaled by 2^⌊x⌋. 2^0 is 1, 2^−∞ is 0, NaN stays.
  static __m512 power_of_two(__m512 x) {
    const __m512 r = _mm512_reduce_ps(x, 0x09);
    __m512 p = _mm512_set1_ps(0x1.b7f73p-7F);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.abf868p-5F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.ee2450p-3F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.62d6c6p-1F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F));
    return _mm512_scalef_ps(p, x);
  }

  // Turns query i's scores into weights, 0 from `visible` to `width`, and updates maximum and sum. Returns the factor
  // by which what was summed before shrinks. Scores are 16 tiles' rows apart, weights of 32 positions take the place of
  // the first 16.
  float soften(std::size_t i, std::size_t visible, std::size_t width, float& maximum, float& sum) {
    float* row =
        reinterpret_cast<float*>(scores_ + i / tile_rows * span_tiles * tile_bytes + i % tile_rows * tile_row_bytes);
    const auto score = [row](std::size_t vector) { return _mm512_load_ps(row + vector * tile_floats); };
    if (visible == 0) {
      for (std::size_t v = 0; v < width / 32; ++v) _mm512_store_ps(row + v * tile_floats, _mm512_setzero_ps());
      return 1.0F;
    }
    const std::size_t whole = visible / 16;
    const auto rest = static_cast<__mmask16>((1U << visible % 16) - 1U);
    __m512 largest = _mm512_set1_ps(maximum);
    __m512 others = largest;
    for (std::size_t v = 0; v + 2 <= whole; v += 2) {
      largest = _mm512_max_ps(largest, score(v));
      others = _mm512_max_ps(others, score(v + 1));
    }
    if (whole % 2 != 0) others = _mm512_max_ps(others, score(whole - 1));
    if (rest != 0) largest = _mm512_mask_max_ps(largest, rest, largest, score(whole));
    const float new_maximum = _mm512_reduce_max_ps(_mm512_max_ps(largest, others));
    const __m512 offset = _mm512_set1_ps(new_maximum);

    __m512 even = _mm512_setzero_ps();
    __m512 odd = _mm512_setzero_ps();
    const auto keep = [&](std::size_t v, __m512 first, __m512 second) {
      even = _mm512_add_ps(even, first);
      odd = _mm512_add_ps(odd, second);
      const __m512i half = _mm512_set1_epi32(0x8000);
      const __m512i pair = pair_halves(_mm512_add_epi32(_mm512_castps_si512(first), half),
                                       _mm512_add_epi32(_mm512_castps_si512(second), half));
      _mm512_store_si512(row + v / 2 * tile_floats, pair);
    };
    const auto weight = [&](std::size_t v) { return power_of_two(_mm512_sub_ps(score(v), offset)); };
    std::size_t v = 0;
    for (; v + 2 <= whole; v += 2) keep(v, weight(v), weight(v + 1));
    const auto seen = [&](std::size_t at) {
      const auto mask = at < whole ? static_cast<__mmask16>(0xffff) : at == whole ? rest : static_cast<__mmask16>(0);
      return _mm512_maskz_mov_ps(mask, weight(at));
    };
    for (; v < width / 16; v += 2) keep(v, seen(v), seen(v + 1));
    const float shrink = _mm512_cvtss_f32(power_of_two(_mm512_sub_ps(_mm512_set1_ps(maximum), offset)));
    maximum = new_maximum;
    sum = sum * shrink + _mm512_reduce_add_ps(_mm512_add_ps(even, odd));
    return shrink;
  }

  void scale_weighted(std::size_t unit, std::size_t i, float shrink) {
    float* row = weighted_of(unit) + i / tile_rows * 2 * at_.steps * tile_floats + i % tile_rows * tile_rows;
    for (std::size_t t = 0; t < 2 * at_.steps; ++t) {
      float* p = row + t * tile_floats;
      _mm512_store_ps(p, _mm512_mul_ps(_mm512_load_ps(p), _mm512_set1_ps(shrink)));
    }
  }

  // weighted += weights · values, for 32 of the head's dimensions at a time.
  void multiply_values(std::size_t unit, std::size_t width) {
    const std::size_t column = span_positions / step * tile_bytes;
    for (std::size_t tile = 0; tile < 2 * at_.steps; tile += 2) {
      float* weighted = weighted_of(unit) + tile * tile_floats;
      float* below = weighted + 2 * at_.steps * tile_floats;
      const std::byte* values = values_ + tile * column;
      tile_load<0>(weighted, tile_row_bytes);
      tile_load<1>(weighted + tile_floats, tile_row_bytes);
      tile_load<2>(below, tile_row_bytes);
      tile_load<3>(below + tile_floats, tile_row_bytes);
      for (std::size_t s = 0; s < width / step * tile_bytes; s += tile_bytes) {
        tile_load<4>(scores_ + s, tile_row_bytes);
        tile_load<6>(values + s, tile_row_bytes);
        tile_load<7>(values + column + s, tile_row_bytes);
        tile_load<5>(scores_ + span_tiles * tile_bytes + s, tile_row_bytes);
        tile_dot_bf16<0, 4, 6>();
        tile_dot_bf16<1, 4, 7>();
        tile_dot_bf16<2, 5, 6>();
        tile_dot_bf16<3, 5, 7>();
      }
      tile_store<0>(weighted, tile_row_bytes);
      tile_store<1>(weighted + tile_floats, tile_row_bytes);
      tile_store<2>(below, tile_row_bytes);
      tile_store<3>(below + tile_floats, tile_row_bytes);
    }
  }

  void write_out() {
    for (std::size_t i = 0; i < queries_; ++i) {
      const std::size_t unit = i / unit_queries;
      const float* row =
          weighted_of(unit) + i % unit_queries / tile_rows * 2 * at_.steps * tile_floats + i % tile_rows * tile_rows;
      float* to = part_.out + i / part_.queries * part_.out_stride + i % part_.queries * part_.head_size;
      const __m512 sum = _mm512_set1_ps(sums_[i]);
      for (std::size_t d = 0; d < part_.head_size; d += 16) {
        _mm512_storeu_ps(to + d, _mm512_div_ps(_mm512_load_ps(row + d / 16 * tile_floats), sum));
      }
    }
  }

  const PromptPart& part_;
  std::size_t queries_;  // all heads of all rows
  Layout at_;
  std::byte* keys_;
  std::byte* values_;
  std::byte* scores_;
  float* maxima_;
  float* sums_;
};

}  // namespace

void amx_attend_prompt(const PromptPart& part) { Prompt(part).run(); }

std::size_t amx_prompt_scratch(std::size_t queries, std::size_t head_size) { return Layout(queries, head_size).end; }

}  // namespace compute::cpu
