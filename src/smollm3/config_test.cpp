#include "smollm3/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "base/error.h"
#include "gguf/writer.h"

namespace smollm3 {
namespace {

using Change = std::function<void(gguf::Writer&)>;

// Configuration of SmolLM3-3B with some sizes changed and further metadata.
Config configured(const Change& change, std::uint32_t context = 0,
                  const std::map<std::string, std::uint32_t>& sizes = {}) {
  const auto path = std::filesystem::path(testing::TempDir()) / ("config-" + std::to_string(getpid()) + ".gguf");
  gguf::Writer writer;
  writer.add("general.architecture", "smollm3");
  std::map<std::string, std::uint32_t> all = sizes;
  all.insert({{"block_count", 36},
              {"embedding_length", 2048},
              {"feed_forward_length", 11008},
              {"attention.head_count", 16},
              {"attention.head_count_kv", 4},
              {"vocab_size", 128256},
              {"context_length", 65536}});
  for (const auto& [name, value] : all) writer.add("smollm3." + name, value);
  change(writer);
  writer.open(path);
  writer.close();
  const gguf::File file = gguf::File::open(path);
  std::filesystem::remove(path);
  return Config::read(file, context);
}

const Change nothing = [](gguf::Writer&) {};

Change yarn(std::uint32_t original, float factor, std::string key = "", float value = 0) {
  return [=](gguf::Writer& writer) {
    writer.add("smollm3.rope.scaling.type", "yarn");
    writer.add("smollm3.rope.scaling.factor", factor);
    writer.add("smollm3.rope.scaling.original_context_length", original);
    if (!key.empty()) writer.add("smollm3.rope.scaling." + key, value);
  };
}

std::string refusal(const Change& change, std::map<std::string, std::uint32_t> sizes = {}) {
  try {
    configured(change, 0, sizes);
  } catch (const base::Error& error) {
    return error.what();
  }
  return "";
}

TEST(Config, YarnIsOnWhenAskedForByTheFileOrTheContext) {
  EXPECT_EQ(configured(nothing).rope.factor, 1);
  EXPECT_EQ(configured(nothing, 65536).rope.factor, 1);
  EXPECT_EQ(configured(nothing, 65537).rope.factor, 2);
  EXPECT_EQ(configured(nothing, 65537).context, 131072u);
  EXPECT_THROW(configured(nothing, 131073), base::Error);
  for (const std::uint32_t context : {0u, 100000u}) {  // not twice
    const Config stretched = configured(yarn(65536, 2), context, {{"context_length", 131072}});
    EXPECT_EQ(stretched.rope.factor, 2);
    EXPECT_EQ(stretched.rope.original_context, 65536u);
  }
}

TEST(Config, YarnItDoesNotComputeIsRefused) {
  EXPECT_EQ(refusal(yarn(32768, 2, "yarn_beta_fast", 32)), "");
  EXPECT_THAT(refusal(yarn(32768, 2, "yarn_beta_fast", 16)), testing::HasSubstr("yarn_beta_fast is not 32"));
  EXPECT_THAT(refusal(yarn(32768, 2, "attn_factor", 0.5F)), testing::HasSubstr("attn_factor is not 1"));
  EXPECT_THAT(refusal(yarn(8192, 2)), testing::HasSubstr("does not reach"));
}

TEST(Config, SizesNoModelHasAreRefused) {
  EXPECT_EQ(refusal(nothing), "");
  for (const auto& [name, value] : std::map<std::string, std::uint32_t>{{"block_count", 5000},
                                                                        {"embedding_length", 1 << 20},
                                                                        {"feed_forward_length", 1 << 23},
                                                                        {"attention.head_count", 4096},
                                                                        {"attention.head_count_kv", 3},
                                                                        {"vocab_size", 1 << 23}}) {
    EXPECT_NE(refusal(nothing, {{name, value}}), "") << name;
  }
}

}  // namespace
}  // namespace smollm3
