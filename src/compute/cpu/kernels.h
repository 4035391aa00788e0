// The table of functions that one instruction set supplies, and the plain structures they work on. Only such structures
// may stand here: this header is compiled with each instruction set's flags, and an inline function in it could reach
// the program in a version that the machine cannot run.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/type.h"

namespace compute::cpu {

// 256 activations as K-quants take them: x ≈ d * q.
struct alignas(64) SuperRow {
  std::int8_t q[256];
  std::int16_t sums16[16];  // of each 16 q
  std::int16_t sums32[8];   // of each 32 q
  float d;
};
static_assert(sizeof(SuperRow) == 320);

// 32 activations as Q8_0 and the other types with blocks of 32 take them: x ≈ d * q.
struct SmallRow {
  std::int8_t q[32];
  float d;
  std::int32_t sum;  // of the q
};
static_assert(sizeof(SmallRow) == 40);

// 16 activation rows of 256 columns as exact products on tiles take them: x ≈ d * q. 64 columns of all rows lie
// together, as a tile is loaded.
struct alignas(64) ExactTile {
  static constexpr std::size_t rows = 16;
  std::int8_t q[4][rows][64];
  std::uint16_t sums[rows][16][2];  // of each 16 q, as two BF16 to be added: a multiple of 16, and 0 to 15
  float d[rows];
};

inline constexpr std::size_t fast_columns = 512;  // that share a scale in the fast mode

// 16 activation rows of fast_columns columns as fast products take them: x ≈ d * q. 64 columns of all rows lie
// together, as a tile is loaded. Columns that the rows have not are zero.
struct alignas(64) FastTile {
  static constexpr std::size_t rows = 16;
  std::int8_t q[fast_columns / 64][rows][64];
  float d[rows];
};

inline constexpr std::size_t block_rows = 256;  // activation rows that one call of a product takes at most

// Consecutive rows of a weight.
struct WeightRows {
  const std::uint8_t* data;
  std::size_t row_bytes;
  std::size_t rows;
  std::size_t cols;
};

// y[a * stride + r], for activation row a and weight row r, is set to the product, or has it added.
struct Output {
  float* y;
  std::size_t stride;
  bool add;
};

// Products of n (1 to block_rows) activation rows. x[b * n + a]: block b of row a, or of floats x[a * w.cols + i]:
// column i of row a.
using SuperProduct = void(const WeightRows& w, const SuperRow* x, std::size_t n, const Output& out);
using SmallProduct = void(const WeightRows& w, const SmallRow* x, std::size_t n, const Output& out);
using FloatProduct = void(const WeightRows& w, const float* x, std::size_t n, const Output& out);

// Products on tiles: of at most tiled_weight_rows weight rows with n (1 to tiled_rows) activation rows.
// x[g * tiles + t]: group g of columns of rows 16t to 16t + 15, of which those from n on are of no account. scratch:
// tiled_scratch_bytes on a cache line.
using ExactProduct = void(const WeightRows& w, const ExactTile* x, std::size_t n, const Output& out,
                          std::byte* scratch);
using FastProduct = void(const WeightRows& w, const FastTile* x, std::size_t n, const Output& out, std::byte* scratch);
inline constexpr std::size_t tiled_rows = 512;
inline constexpr std::size_t exact_tile_rows = 16;
inline constexpr std::size_t tiled_weight_rows = 128;
inline constexpr std::size_t tiled_scratch_bytes = std::size_t{384} << 10;

// A block of 64 positions of one key/value head, seen by some query heads of one row.
struct AttentionBlock {
  const void* keys;    // [head_size][64]
  const void* values;  // [64][head_size]
  bool half;           // F16, else F32
  std::size_t head_size;
  std::size_t visible;  // positions of the block that the row sees, 1 to 64
  const float* q;       // [queries][head_size]
  std::size_t queries;
  float scale;
  float* states;  // [queries][head_size + state_header]
};

// The running softmax of one query: largest score, sum of exponentials, 14 unused, then head_size sums of weighted
// values.
inline constexpr std::size_t state_header = 16;

// Consecutive positions of one sequence, and the query heads of one key/value head for each.
struct PromptPart {
  const std::byte* const* pages;  // of the sequence
  std::size_t key_offset;         // in a page
  std::size_t value_offset;
  bool half;  // F16, else F32
  std::size_t head_size;
  std::size_t first_position;
  std::size_t rows;     // positions
  std::size_t queries;  // of each
  const float* q;       // row i at q + i * q_stride: [queries][head_size]
  std::size_t q_stride;
  float scale;
  float* out;  // as q
  std::size_t out_stride;
  std::byte* scratch;  // prompt_scratch() bytes, on a cache line
};

struct Kernels {
  const char* name;

  // cols / 256 SuperRows, `stride` apart; cols / 32 SmallRows likewise.
  void (*quantise_super)(const float* x, std::size_t cols, SuperRow* out, std::size_t stride);
  void (*quantise_small)(const float* x, std::size_t cols, SmallRow* out, std::size_t stride);

  // All columns of row `row` (below 16) of tiles that are `stride` apart; none where there are no products on tiles.
  void (*quantise_exact)(const float* x, std::size_t cols, ExactTile* out, std::size_t stride,
                         std::size_t row) = nullptr;
  void (*quantise_fast)(const float* x, std::size_t cols, FastTile* out, std::size_t stride, std::size_t row) = nullptr;

  // The product on tiles for a type with blocks of 256; none where there are none. Exact ones have the bits of those
  // below, and are faster from exact_tile_rows activation rows on.
  ExactProduct* (*exact_product)(quant::Type type) = nullptr;
  FastProduct* (*fast_product)(quant::Type type) = nullptr;

  SuperProduct* product_q2_k;
  SuperProduct* product_q3_k;
  SuperProduct* product_q4_k;
  SuperProduct* product_q5_k;
  SuperProduct* product_q6_k;
  SuperProduct* product_iq4_xs;
  SmallProduct* product_q8_0;
  SmallProduct* product_q4_0;
  SmallProduct* product_q4_1;
  SmallProduct* product_q5_0;
  SmallProduct* product_q5_1;
  SmallProduct* product_iq4_nl;
  FloatProduct* product_f32;
  FloatProduct* product_f16;
  FloatProduct* product_bf16;

  // Counts of floats are multiples of 16 from here on.
  void (*rms_norm)(const float* x, const float* gain, std::size_t cols, float epsilon, float* y);
  void (*swiglu)(const float* gate, const float* up, std::size_t count, float* y);  // silu(gate) * up
  void (*rope)(float* x, const float* cos_sin, std::size_t head_size);              // one head
  void (*to_half)(const float* x, std::size_t count, std::uint16_t* y);
  void (*exponential)(const float* x, std::size_t count, float* y);  // what attend and swiglu use

  void (*attend)(const AttentionBlock& block);                            // adds one block to the states
  void (*merge)(const float* span, std::size_t head_size, float* total);  // adds a span's state to the total
  void (*finish)(const float* state, std::size_t head_size, float* out);  // the weighted mean

  // Sampling (candidates.h), for any count of consecutive tokens from one that is a multiple of 64 on. Bit i % 64 of
  // allowed[i / 64] tells whether token i may be drawn; without `allowed` all may.
  // The greatest logit of those that may, -inf if there is none. Clears `finite` if any logit is NaN or infinite.
  float (*greatest)(const float* logits, const std::uint64_t* allowed, std::size_t count, bool& finite);
  // The sum of the weights: 2^30 exp((logit - greatest) * inverse) to the nearest integer, and 0 for what may not be
  // drawn. `weights` gets them, with room for `count` rounded up to 16, or is nullptr.
  std::uint64_t (*weigh)(const float* logits, const std::uint64_t* allowed, std::size_t count, float greatest,
                         float inverse, float* weights);
  // Those x[i] that are at least `least`, in order, as values and tokens (first + i), with room for `count` rounded up
  // to 16 each. Returns how many they are. `values` may be x.
  std::size_t (*collect)(const float* x, std::size_t count, float least, std::uint32_t first, float* values,
                         std::uint32_t* tokens);

  // Attention in the fast mode, where there is one.
  void (*attend_prompt)(const PromptPart& part) = nullptr;
  std::size_t (*prompt_scratch)(std::size_t queries, std::size_t head_size) = nullptr;  // queries: rows * queries
};

const Kernels& scalar_kernels();
#if defined(__x86_64__)
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
const Kernels& amx_kernels();
#endif

}  // namespace compute::cpu
