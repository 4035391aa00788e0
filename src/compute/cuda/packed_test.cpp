// The packed form of weights, read word by word as packed.h says, against quant::decode.
#include "compute/cuda/packed.h"

#include "compute/cuda/packed_test_support.h"
#include "quant/decode.h"

namespace compute::cuda {
namespace {

using namespace test;
using quant::Type;

void check_tiles(Type type, Format format, std::size_t rows, std::size_t cols) {
  SCOPED_TRACE(std::string(quant::type_info(type)->name) + " " + std::to_string(rows) + " x " + std::to_string(cols));
  ASSERT_EQ(packed_format(type), format);
  std::mt19937 random(static_cast<unsigned>(rows * 131 + cols));
  const auto bytes = random_weight(type, rows, cols, random);
  const Matrix weight{type, rows, cols, bytes};
  const PackedMatrix shape{format, rows, cols, nullptr};

  // In two pieces where there are rows enough: the second starts where the first one's tiles end.
  std::vector<std::byte> packed = pack_rows(weight, 0, std::min<std::size_t>(rows, 64));
  if (rows > 64) {
    const auto rest = pack_rows(weight, 64, rows - 64);
    packed.insert(packed.end(), rest.begin(), rest.end());
  }
  ASSERT_EQ(packed.size(), shape.bytes());

  std::vector<float> expected(cols);
  const std::size_t row_bytes = bytes.size() / rows;
  for (std::size_t r = 0; r < shape.padded_rows(); ++r) {
    if (r < rows) quant::decode(type, weight.data.subspan(r * row_bytes, row_bytes), expected);
    for (std::size_t c = 0; c < shape.padded_cols(); ++c) {
      const Element element = unpack(format, packed, cols, r, c);
      if (r < rows && c < cols) {
        // A little more for the arithmetic in float of both sides.
        ASSERT_NEAR(element.value, expected[c], element.error * 1.01F + std::abs(expected[c]) * 0x1p-20F)
            << "row " << r << ", column " << c;
      } else {
        ASSERT_EQ(element.value, 0) << "row " << r << ", column " << c;
      }
    }
  }
}

TEST(Packed, TilesHoldWhatTheWeightHolds) {
  for (const std::size_t rows : {1, 16, 64, 80, 129}) {
    for (const std::size_t cols : {256, 768}) {
      check_tiles(Type::Q4_K, Format::Q4, rows, cols);
      check_tiles(Type::Q6_K, Format::Q6, rows, cols);
      check_tiles(Type::Q5_K, Format::F16, rows, cols);
    }
    check_tiles(Type::Q8_0, Format::F16, rows, 96);
    check_tiles(Type::F16, Format::F16, rows, 7);
  }
}

TEST(Packed, FloatRowsStayAsTheyAre) {
  std::mt19937 random(1);
  for (const Type type : {Type::F32, Type::BF16}) {
    ASSERT_EQ(packed_format(type), Format::F32);
    const auto bytes = random_weight(type, 5, 33, random);
    const Matrix weight{type, 5, 33, bytes};
    const auto packed = pack_rows(weight, 1, 3);
    std::vector<float> expected(3 * 33);
    const std::size_t row_bytes = bytes.size() / 5;
    quant::decode(type, weight.data.subspan(row_bytes, 3 * row_bytes), expected);
    ASSERT_EQ(packed.size(), expected.size() * sizeof(float));
    EXPECT_EQ(std::memcmp(packed.data(), expected.data(), packed.size()), 0);
  }
}

}  // namespace
}  // namespace compute::cuda
