#include "smollm3/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "gguf/writer.h"

namespace smollm3 {
namespace {

// What is said of a file whose embedding, 16 rows of 256 elements, has the given type and bytes.
std::string refusal(std::uint32_t type, std::size_t bytes) {
  const auto path = std::filesystem::path(testing::TempDir()) / ("weights-" + std::to_string(getpid()) + ".gguf");
  gguf::Writer writer;
  writer.add("general.architecture", "smollm3");
  writer.add_tensor("token_embd.weight", type, {256, 16}, bytes);
  writer.open(path);
  writer.write(std::vector<std::byte>(bytes));
  writer.close();
  const gguf::File file = gguf::File::open(path);
  std::filesystem::remove(path);
  Config config;
  config.vocab = 16;
  config.hidden = 256;
  config.layers = 1;
  try {
    Weights::read(file, config);
  } catch (const base::Error& error) {
    return error.what();
  }
  return "";
}

TEST(Weights, TypesThatDoNotRunAreRefusedByTensorAndType) {
  using testing::HasSubstr;
  const std::string iq3_s = refusal(21, 16 * 110);
  EXPECT_THAT(iq3_s, HasSubstr("tensor token_embd.weight is of type IQ3_S, which does not run here"));
  EXPECT_THAT(iq3_s, HasSubstr("use a file of"));
  EXPECT_THAT(refusal(200, 16 * 256), HasSubstr("tensor token_embd.weight is of type 200, which does not run here"));
}

TEST(Weights, EveryTypeThatRunsIsRead) {
  struct Case {
    quant::Type type;
    std::size_t row_bytes;  // of 256 elements
  };
  using enum quant::Type;
  for (const auto& [type, row_bytes] :
       {Case{F32, 1024}, Case{F16, 512}, Case{BF16, 512}, Case{Q8_0, 272}, Case{Q4_0, 144}, Case{Q4_1, 160},
        Case{Q5_0, 176}, Case{Q5_1, 192}, Case{IQ4_NL, 144}, Case{Q2_K, 84}, Case{Q3_K, 110}, Case{Q4_K, 144},
        Case{Q5_K, 176}, Case{Q6_K, 210}, Case{IQ4_XS, 136}}) {
    // The embedding passes; what is missed is the tensor after it.
    EXPECT_THAT(refusal(static_cast<std::uint32_t>(type), 16 * row_bytes),
                testing::HasSubstr("lacks the tensor blk.0.attn_norm.weight"))
        << quant::type_info(type)->name;
  }
}

}  // namespace
}  // namespace smollm3
