// AMX: eight tiles of 16 rows of 64 bytes, and products of them. With SMOLLM3_EMULATE_TILES the same functions work on
// arrays, so that kernels can be tested on machines without AMX.
//
// A product adds to each 32-bit element of tile c, row m, column n:
//   int8   Σ_k a[m][k] b[k / 4][4n + k % 4]    k in [0, 64)
//   BF16   Σ_k a[m][k] b[k / 2][2n + k % 2]    k in [0, 32)
// so b holds four (two) consecutive k of each of 16 columns side by side in a row.
//
// Everything is in an anonymous namespace: each file that includes it gets its own copy.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(SMOLLM3_EMULATE_TILES)
#include <cstring>
#endif

namespace compute::cpu {
namespace {

inline constexpr std::size_t tile_rows = 16;
inline constexpr std::size_t tile_row_bytes = 64;
inline constexpr std::size_t tile_bytes = tile_rows * tile_row_bytes;

#if !defined(SMOLLM3_EMULATE_TILES)

// All eight tiles, of 16 rows, may be used on the calling thread while it lives. The processor keeps more state until
// then, so it should live no longer than a kernel.
class Tiles {
 public:
  Tiles() {
    struct alignas(64) Configuration {
      std::uint8_t palette = 1;
      std::uint8_t start_row = 0;
      std::uint8_t unused[14] = {};
      std::uint16_t row_bytes[16] = {};
      std::uint8_t rows[16] = {};
    } configuration;
    static_assert(sizeof(Configuration) == 64);
    for (std::size_t t = 0; t < 8; ++t) {
      configuration.row_bytes[t] = tile_row_bytes;
      configuration.rows[t] = tile_rows;
    }
    // The compiler must know that all of it is read: GCC 12's _tile_loadconfig does not tell it.
    asm volatile("ldtilecfg %0" : : "m"(configuration));
  }
  ~Tiles() { asm volatile("tilerelease"); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

template <int t>
[[gnu::always_inline]] inline void tile_zero() {
  asm volatile("tilezero %%tmm%c0" : : "i"(t));
}

// Rows of 64 bytes, `stride` bytes apart. GCC is told that the instruction reads or writes bytes from p on; Clang,
// which takes no array of unknown size for an operand, that it may do so to any memory.
template <int t>
[[gnu::always_inline]] inline void tile_load(const void* p, std::size_t stride) {
#if defined(__clang__)
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(p), "r"(stride), "i"(t) : "memory");
#else
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(p), "r"(stride), "i"(t), "m"(*static_cast<const char(*)[]>(p)));
#endif
}

// The same, of what is not needed again soon: it leaves the first-level cache to what is.
template <int t>
[[gnu::always_inline]] inline void tile_load_once(const void* p, std::size_t stride) {
#if defined(__clang__)
  asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" : : "r"(p), "r"(stride), "i"(t) : "memory");
#else
  asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2"
               :
               : "r"(p), "r"(stride), "i"(t), "m"(*static_cast<const char(*)[]>(p)));
#endif
}

template <int t>
[[gnu::always_inline]] inline void tile_store(void* p, std::size_t stride) {
#if defined(__clang__)
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(p), "r"(stride), "i"(t) : "memory");
#else
  asm volatile("tilestored %%tmm%c3, (%1,%2,1)" : "=m"(*static_cast<char(*)[]>(p)) : "r"(p), "r"(stride), "i"(t));
#endif
}

// Signed bytes with signed ones.
template <int c, int a, int b>
[[gnu::always_inline]] inline void tile_dot_signed() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(c), "i"(a), "i"(b));
}

// Signed bytes in a with unsigned ones in b.
template <int c, int a, int b>
[[gnu::always_inline]] inline void tile_dot_unsigned() {
  asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(c), "i"(a), "i"(b));
}

template <int c, int a, int b>
[[gnu::always_inline]] inline void tile_dot_bf16() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(c), "i"(a), "i"(b));
}

#else

struct EmulatedTile {
  alignas(64) std::uint8_t bytes[tile_rows][tile_row_bytes];
};
inline thread_local EmulatedTile emulated_tiles[8];
inline thread_local std::size_t emulated_rows = 0;  // none while no tile may be used

class Tiles {
 public:
  Tiles() {
    std::memset(emulated_tiles, 0, sizeof emulated_tiles);
    emulated_rows = tile_rows;
  }
  ~Tiles() { emulated_rows = 0; }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

template <int t>
void tile_zero() {
  std::memset(&emulated_tiles[t], 0, sizeof(EmulatedTile));
}

template <int t>
void tile_load(const void* p, std::size_t stride) {
  for (std::size_t m = 0; m < emulated_rows; ++m)
    std::memcpy(emulated_tiles[t].bytes[m], static_cast<const char*>(p) + m * stride, tile_row_bytes);
}

template <int t>
void tile_load_once(const void* p, std::size_t stride) {
  tile_load<t>(p, stride);
}

template <int t>
void tile_store(void* p, std::size_t stride) {
  for (std::size_t m = 0; m < emulated_rows; ++m)
    std::memcpy(static_cast<char*>(p) + m * stride, emulated_tiles[t].bytes[m], tile_row_bytes);
}

template <typename B>
void emulated_dot(EmulatedTile& c, const EmulatedTile& a, const EmulatedTile& b) {
  std::int32_t columns[64][16];
  for (std::size_t k = 0; k < 64; ++k) {
    for (std::size_t n = 0; n < 16; ++n) columns[k][n] = static_cast<B>(b.bytes[k / 4][4 * n + k % 4]);
  }
  for (std::size_t m = 0; m < tile_rows; ++m) {
    std::int32_t sums[16];
    std::memcpy(sums, c.bytes[m], sizeof sums);
    for (std::size_t k = 0; k < 64; ++k) {
      const auto value = static_cast<std::int32_t>(static_cast<std::int8_t>(a.bytes[m][k]));
      for (std::size_t n = 0; n < 16; ++n) sums[n] += value * columns[k][n];
    }
    std::memcpy(c.bytes[m], sums, sizeof sums);
  }
}

template <int c, int a, int b>
void tile_dot_signed() {
  emulated_dot<std::int8_t>(emulated_tiles[c], emulated_tiles[a], emulated_tiles[b]);
}

template <int c, int a, int b>
void tile_dot_unsigned() {
  emulated_dot<std::uint8_t>(emulated_tiles[c], emulated_tiles[a], emulated_tiles[b]);
}

inline float emulated_bf16(const std::uint8_t* p) {
  std::uint16_t half;
  std::memcpy(&half, p, sizeof half);
  const std::uint32_t bits = std::uint32_t{half} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// As the processor: even and odd k are summed apart, and then added to what is there.
template <int c, int a, int b>
void tile_dot_bf16() {
  for (std::size_t m = 0; m < tile_rows; ++m) {
    for (std::size_t n = 0; n < 16; ++n) {
      float sums[2] = {};
      for (std::size_t k = 0; k < 32; ++k) {
        const float x = emulated_bf16(emulated_tiles[a].bytes[m] + 2 * k);
        const float y = emulated_bf16(emulated_tiles[b].bytes[k / 2] + 4 * n + 2 * (k % 2));
        sums[k % 2] = __builtin_fmaf(x, y, sums[k % 2]);
      }
      float sum;
      std::memcpy(&sum, emulated_tiles[c].bytes[m] + 4 * n, sizeof sum);
      sum += sums[0] + sums[1];
      std::memcpy(emulated_tiles[c].bytes[m] + 4 * n, &sum, sizeof sum);
    }
  }
}

#endif

}  // namespace
}  // namespace compute::cpu
