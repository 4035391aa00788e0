#include "compute/cuda/packed.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "base/error.h"
#include "quant/blocks.h"
#include "quant/decode.h"
#include "quant/half.h"

namespace compute::cuda {
namespace {

constexpr std::size_t block_cols = 256;                            // of Q4_K and Q6_K
constexpr std::size_t block_tiles = block_cols / tile_cols;        // in a row of tiles
constexpr std::size_t low_bytes = 32 * 4 * sizeof(std::uint32_t);  // the 4-bit words of a tile
constexpr std::size_t high_bytes = 32 * 2 * sizeof(std::uint32_t);

// The rows of a tile's 256 columns, a byte for each weight.
using Values = std::array<std::array<std::uint8_t, block_cols>, tile_rows>;

template <typename Block>
Block block_at(const Matrix& weight, std::size_t row, std::size_t index) {
  Block block;
  std::memcpy(&block, weight.data.data() + (row * (weight.cols / block_cols) + index) * sizeof block, sizeof block);
  return block;
}

void store_half(std::byte* at, float value) {
  const std::uint16_t bits = quant::float_to_half(value);
  std::memcpy(at, &bits, sizeof bits);
}

// Where the scale of a row and group lies among those of its tile: rows g and g + 8 side by side.
std::size_t scale_index(std::size_t row, std::size_t group, std::size_t groups) {
  return ((row % 8) * 2 + row / 8) * groups + group;
}

// The words of 4-bit values: for the lane of g and t, bytes of columns 2t, 2t + 8, 2t + 1 and 2t + 9, each with row g
// in its low nibble and row g + 8 in its high one.
void store_low(const Values& values, std::size_t tile, std::byte* out) {
  for (std::size_t g = 0; g < 8; ++g) {
    std::array<std::uint8_t, tile_cols> both;
    for (std::size_t c = 0; c < tile_cols; ++c) {
      both[c] = static_cast<std::uint8_t>((values[g][tile * tile_cols + c] & 15) |
                                          (values[g + 8][tile * tile_cols + c] << 4));
    }
    for (std::size_t t = 0; t < 4; ++t) {
      for (std::size_t step = 0; step < 4; ++step) {
        const std::uint8_t* b = both.data() + 16 * step + 2 * t;
        const std::array<std::uint8_t, 4> word = {b[0], b[8], b[1], b[9]};
        std::memcpy(out + ((g * 4 + t) * 4 + step) * 4, word.data(), word.size());
      }
    }
  }
}

// The words of the 2 bits above them: a byte has the first of all four pairs of a step, or their second.
void store_high(const Values& values, std::size_t tile, std::byte* out) {
  for (std::size_t g = 0; g < 8; ++g) {
    std::array<std::uint8_t, tile_cols> both;
    for (std::size_t c = 0; c < tile_cols; ++c) {
      both[c] = static_cast<std::uint8_t>(values[g][tile * tile_cols + c] >> 4 |
                                          values[g + 8][tile * tile_cols + c] >> 4 << 4);
    }
    for (std::size_t t = 0; t < 4; ++t) {
      for (std::size_t j = 0; j < 2; ++j) {
        const auto pairs = [&](std::size_t i, std::size_t which) {
          const std::uint8_t* b = both.data() + 16 * (2 * j + i) + 2 * t + which;
          return static_cast<std::uint8_t>(b[0] | b[8] << 2);
        };
        const std::array<std::uint8_t, 4> word = {pairs(0, 0), pairs(1, 0), pairs(0, 1), pairs(1, 1)};
        std::memcpy(out + ((g * 4 + t) * 2 + j) * 4, word.data(), word.size());
      }
    }
  }
}

// Tiles of rows [row, row + rows) of the weight, at most 16, columns 256 * index to 256 * index + 255. `out` is zero.
void pack_q4(const Matrix& weight, std::size_t row, std::size_t rows, std::size_t index, std::byte* out) {
  Values values{};
  for (std::size_t r = 0; r < rows; ++r) {
    const auto block = block_at<quant::BlockQ4_K>(weight, row + r, index);
    for (std::size_t pair = 0; pair < 4; ++pair) {
      for (std::size_t i = 0; i < 32; ++i) {
        const std::uint8_t q = block.q[32 * pair + i];
        values[r][64 * pair + i] = q & 15;
        values[r][64 * pair + 32 + i] = q >> 4;
      }
    }
    const float d = quant::half_to_float(block.d);
    const float dmin = quant::half_to_float(block.dmin);
    for (std::size_t group = 0; group < 8; ++group) {
      const quant::GroupScale g = quant::group_scale(block.scales, static_cast<int>(group));
      std::byte* at = out + group / 2 * tile_bytes(Format::Q4) + low_bytes + scale_index(r, group % 2, 2) * 4;
      store_half(at, d * static_cast<float>(g.scale));
      store_half(at + 2, dmin * static_cast<float>(g.min));
    }
  }
  for (std::size_t tile = 0; tile < block_tiles; ++tile) store_low(values, tile, out + tile * tile_bytes(Format::Q4));
}

void pack_q6(const Matrix& weight, std::size_t row, std::size_t rows, std::size_t index, std::byte* out) {
  Values values{};
  for (std::size_t r = 0; r < rows; ++r) {
    const auto block = block_at<quant::BlockQ6_K>(weight, row + r, index);
    for (std::size_t half = 0; half < 2; ++half) {
      for (std::size_t k = 0; k < 4; ++k) {
        for (std::size_t i = 0; i < 32; ++i) {
          const int low = block.low[half * 64 + k % 2 * 32 + i] >> (k / 2 * 4) & 15;
          const int high = block.high[half * 32 + i] >> (2 * k) & 3;
          values[r][half * 128 + k * 32 + i] = static_cast<std::uint8_t>(low | high << 4);
        }
      }
    }
    const float d = quant::half_to_float(block.d);
    for (std::size_t group = 0; group < 16; ++group) {
      store_half(out + group / 4 * tile_bytes(Format::Q6) + low_bytes + high_bytes + scale_index(r, group % 4, 4) * 2,
                 d * static_cast<float>(block.scales[group]));
    }
  }
  for (std::size_t tile = 0; tile < block_tiles; ++tile) {
    std::byte* at = out + tile * tile_bytes(Format::Q6);
    store_low(values, tile, at);
    store_high(values, tile, at + low_bytes);
  }
}

// A row of tiles from decoded rows; `decoded` has room for a row of the weight.
void pack_f16(const Matrix& weight, std::size_t row, std::size_t rows, std::span<float> decoded, std::byte* out) {
  const std::size_t row_bytes = weight.data.size() / weight.rows;
  for (std::size_t r = 0; r < rows; ++r) {
    quant::decode(weight.type, weight.data.subspan((row + r) * row_bytes, row_bytes), decoded);
    for (std::size_t c = 0; c < decoded.size(); ++c) {
      const std::size_t step = c % tile_cols / 16;
      const std::size_t lane = r % 8 * 4 + c % 8 / 2;
      const std::size_t pair = r / 8 + c % 16 / 8 * 2;
      store_half(out + c / tile_cols * tile_bytes(Format::F16) + ((step * 32 + lane) * 4 + pair) * 4 + c % 2 * 2,
                 decoded[c]);
    }
  }
}

}  // namespace

Format packed_format(quant::Type type) {
  if (type == quant::Type::Q4_K) return Format::Q4;
  if (type == quant::Type::Q6_K) return Format::Q6;
  if (type == quant::Type::F32 || type == quant::Type::BF16) return Format::F32;
  if (quant::can_decode(type)) return Format::F16;
  throw base::Error(base::ErrorKind::Internal, "matrix", "weights of this type cannot be multiplied");
}

std::vector<std::byte> pack_rows(const Matrix& weight, std::size_t first, std::size_t count) {
  const Format format = packed_format(weight.type);
  std::vector<std::byte> out(PackedMatrix{.format = format, .rows = count, .cols = weight.cols}.bytes());
  const std::size_t row_bytes = weight.data.size() / weight.rows;
  if (format == Format::F32) {
    std::vector<float> row(weight.cols);
    for (std::size_t r = 0; r < count; ++r) {
      quant::decode(weight.type, weight.data.subspan((first + r) * row_bytes, row_bytes), row);
      std::memcpy(out.data() + r * weight.cols * sizeof(float), row.data(), weight.cols * sizeof(float));
    }
    return out;
  }
  const std::size_t row_of_tiles_bytes = round_up(weight.cols, tile_cols) / tile_cols * tile_bytes(format);
  std::vector<float> decoded(format == Format::F16 ? weight.cols : 0);
  for (std::size_t row = 0; row < count; row += tile_rows) {
    std::byte* at = out.data() + row / tile_rows * row_of_tiles_bytes;
    const std::size_t rows = std::min(tile_rows, count - row);
    if (format == Format::F16) {
      pack_f16(weight, first + row, rows, decoded, at);
      continue;
    }
    for (std::size_t index = 0; index < weight.cols / block_cols; ++index) {
      std::byte* block = at + index * block_tiles * tile_bytes(format);
      if (format == Format::Q4) {
        pack_q4(weight, first + row, rows, index, block);
      } else {
        pack_q6(weight, first + row, rows, index, block);
      }
    }
  }
  return out;
}

}  // namespace compute::cuda
