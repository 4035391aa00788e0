// Products at the ends of what their inputs may be: weights, scales and activations as large as they come, memory that
// ends with the last block, rows that are no multiple of a vector; the vector kernels against the scalar ones.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include "base/memory.h"
#include "base/processor.h"
#include "compute/cpu/kernels.h"
#include "compute/cpu/test_support.h"
#include "quant/type.h"

namespace compute::cpu::test {
namespace {

// Memory whose last byte is followed, and whose first is preceded, by a page that may not be read.
class Fenced {
 public:
  explicit Fenced(std::size_t size) : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    size_ = (size + page_ - 1) / page_ * page_;
    void* memory = mmap(nullptr, size_ + 2 * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    memory_ = static_cast<std::uint8_t*>(memory);
    mprotect(memory_, page_, PROT_NONE);
    mprotect(memory_ + page_ + size_, page_, PROT_NONE);
  }
  ~Fenced() { munmap(memory_, size_ + 2 * page_); }
  Fenced(const Fenced&) = delete;
  Fenced& operator=(const Fenced&) = delete;

  std::uint8_t* first() const { return memory_ + page_; }
  std::uint8_t* last(std::size_t count) const { return memory_ + page_ + size_ - count; }

 private:
  std::size_t page_;
  std::size_t size_ = 0;
  std::uint8_t* memory_ = nullptr;
};

struct Format {
  quant::Type type;
  SuperProduct* Kernels::*product;
};

const Format formats[] = {
    {quant::Type::Q2_K, &Kernels::product_q2_k}, {quant::Type::Q3_K, &Kernels::product_q3_k},
    {quant::Type::Q4_K, &Kernels::product_q4_k}, {quant::Type::Q5_K, &Kernels::product_q5_k},
    {quant::Type::Q6_K, &Kernels::product_q6_k}, {quant::Type::IQ4_XS, &Kernels::product_iq4_xs},
};

// The largest weights together with the largest scales of either sign, and now and then one bit of it turned.
void fill_largest(std::span<std::uint8_t> block, quant::Type type, Random& random) {
  if (type == quant::Type::Q6_K) {
    std::fill_n(block.begin(), 192, random() % 2 ? 0xff : 0x00);  // q = 63 or 0, which stands for 31 or −32
    for (std::uint8_t& scale : block.subspan(192, 16)) scale = random() % 4 == 0 ? 0x7f : 0x80;
  } else {
    std::ranges::fill(block, random() % 4 == 0 ? 0x00 : 0xff);
  }
  if (random() % 2) block[random() % block.size()] ^= static_cast<std::uint8_t>(1U << random() % 8);
}

std::uint16_t extreme_factor(Random& random) {
  switch (random() % 4) {
    case 0:
      return 0x7bff;  // 65504
    case 1:
      return 0xfbff;
    default:
      return random_factor(random);
  }
}

void set_factors(std::span<std::uint8_t> block, quant::Type type, Random& random) {
  const auto set = [&](std::size_t at) {
    const std::uint16_t factor = extreme_factor(random);
    std::memcpy(&block[at], &factor, sizeof factor);
  };
  switch (type) {
    case quant::Type::Q2_K:
      set(80);
      return set(82);
    case quant::Type::Q3_K:
      return set(108);
    case quant::Type::Q6_K:
      return set(208);
    case quant::Type::IQ4_XS:
      return set(0);
    default:
      set(0);
      return set(2);
  }
}

void fill(std::span<std::uint8_t> bytes, std::size_t block_bytes, quant::Type type, Random& random) {
  for (std::size_t at = 0; at < bytes.size(); at += block_bytes) {
    const std::span<std::uint8_t> block = bytes.subspan(at, block_bytes);
    for (std::uint8_t& byte : block) byte = static_cast<std::uint8_t>(random());
    if (random() % 4 != 0) fill_largest(block, type, random);
    set_factors(block, type, random);
  }
}

void fill(SuperRow& row, Random& random) {
  const auto kind = random() % 5;
  for (std::size_t i = 0; i < 256; ++i) {
    const int any = static_cast<int>(random() % 255) - 127;
    const int sign = random() % 2 ? 127 : -127;
    // The last makes sums of odd numbers above 2²⁴, which a float rounds.
    const int values[] = {any, 127, -127, sign, i % 2 == 0 ? 127 : 126};
    row.q[i] = static_cast<std::int8_t>(values[kind]);
  }
  for (std::size_t g = 0; g < 16; ++g) {
    row.sums16[g] = static_cast<std::int16_t>(std::accumulate(row.q + 16 * g, row.q + 16 * (g + 1), 0));
  }
  for (std::size_t g = 0; g < 8; ++g) {
    row.sums32[g] = static_cast<std::int16_t>(row.sums16[2 * g] + row.sums16[2 * g + 1]);
  }
  const float scales[] = {0.0F, 1e-38F, 1.0F, std::ldexp(1.0F + static_cast<float>(random() % 1000), -20)};
  row.d = scales[random() % 4];
}

// The same rows as tiles, x[b * n + a]. Rows that are of no account have what would spoil every sum.
void fill_tiles(const SuperRow* x, std::size_t n, std::size_t blocks, ExactTile* tiles) {
  const std::size_t count = (n + ExactTile::rows - 1) / ExactTile::rows;
  std::memset(tiles, 0xff, blocks * count * sizeof(ExactTile));
  for (std::size_t i = 0; i < n * blocks; ++i) {
    const std::size_t row = i % n % ExactTile::rows;
    ExactTile& tile = tiles[i / n * count + i % n / ExactTile::rows];
    for (std::size_t part = 0; part < 4; ++part) std::memcpy(tile.q[part][row], x[i].q + 64 * part, 64);
    for (std::size_t g = 0; g < 16; ++g) {
      const int sum = x[i].sums16[g];
      const int low = ((sum % 16) + 16) % 16;
      tile.sums[row][g][0] =
          static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(sum - low)) >> 16);
      tile.sums[row][g][1] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(low)) >> 16);
    }
    tile.d[row] = x[i].d;
  }
}

const Kernels& kernels_of(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::Amx) return amx_kernels();
  if (isa == Isa::Avx512) return avx512_kernels();
  if (isa == Isa::Avx2) return avx2_kernels();
#endif
  return scalar_kernels();
}

class ByIsaAtTheEdges : public testing::TestWithParam<Isa> {};

TEST_P(ByIsaAtTheEdges, ProductsHaveTheScalarBitsAndStayWithin) {
  SMOLLM3_NEED_ISA(GetParam());
  const base::FlushDenormals flush;
  const Fenced weights(std::size_t{1} << 16);
  const Fenced activations(std::size_t{1} << 16);
  const Fenced tiles(std::size_t{1} << 16);
  base::AlignedBuffer<std::byte> scratch(tiled_scratch_bytes);
  const Kernels& kernels = kernels_of(GetParam());
  Random random(7);
  for (int round = 0; round < 6000; ++round) {
    const auto& [type, product] = formats[random() % std::size(formats)];
    const quant::TypeInfo info = *quant::type_info(type);
    const std::size_t block_bytes = info.block_bytes;
    const std::size_t rows = 1 + random() % 35;
    const std::size_t blocks = 1 + random() % 4;
    // Tiles take 16 rows of activations and more.
    const std::size_t n = round % 2 == 0 ? 1 : round % 8 == 1 ? 16 + random() % 20 : 1 + random() % 9;
    const std::size_t total = rows * blocks * block_bytes;
    std::uint8_t* w = random() % 2 ? weights.last(total) : weights.first();
    fill({w, total}, block_bytes, type, random);
    auto* x = reinterpret_cast<SuperRow*>(activations.last(n * blocks * sizeof(SuperRow)));
    for (std::size_t i = 0; i < n * blocks; ++i) fill(x[i], random);

    // Behind the rows of each output is what must stay as it is.
    const std::size_t stride = rows + 3;
    std::vector<float> before(n * stride);
    for (float& value : before) value = static_cast<float>(random() % 100) - 50.0F;
    std::vector<float> expected = before;
    std::vector<float> got = before;
    const bool add = random() % 2;
    const WeightRows matrix{w, blocks * block_bytes, rows, blocks * 256};
    (scalar_kernels().*product)(matrix, x, n, {expected.data(), stride, add});
    const auto expect_got = [&](const char* by) {
      ASSERT_TRUE(same_bits(expected, got)) << by << ' ' << info.name << ", " << n << " × " << rows << " × " << blocks;
      for (std::size_t a = 0; a < n; ++a) {
        for (std::size_t i = rows; i < stride; ++i) ASSERT_EQ(got[a * stride + i], before[a * stride + i]);
      }
    };
    (kernels.*product)(matrix, x, n, {got.data(), stride, add});
    ASSERT_NO_FATAL_FAILURE(expect_got("rows"));
    if (kernels.exact_product == nullptr) continue;
    const std::size_t tile_count = (n + ExactTile::rows - 1) / ExactTile::rows * blocks;
    auto* tiled = reinterpret_cast<ExactTile*>(tiles.last(tile_count * sizeof(ExactTile)));
    fill_tiles(x, n, blocks, tiled);
    got = before;
    kernels.exact_product(type)(matrix, tiled, n, {got.data(), stride, add}, scratch.data());
    ASSERT_NO_FATAL_FAILURE(expect_got("tiles"));
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, ByIsaAtTheEdges, testing::ValuesIn(vector_isas()),
                         [](const auto& test) { return isa_name(test.param); });

}  // namespace
}  // namespace compute::cpu::test
