#include "gguf/split.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <string>
#include <vector>

#include "base/error.h"
#include "gguf/writer.h"

namespace gguf {
namespace {

namespace fs = std::filesystem;

// A folder of the test's own.
class Split : public testing::Test {
 protected:
  Split() {
    const testing::TestInfo& test = *testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(testing::TempDir()) / (std::string("split-") + test.name() + "-" + std::to_string(getpid()));
    fs::create_directory(folder_);
  }
  ~Split() override { fs::remove_all(folder_); }

  struct Part {
    std::uint32_t index = 0;
    std::uint32_t count = 3;
    std::uint32_t tensors = 3;
    std::string architecture = {};  // none: no such entry
  };

  // A part with a tensor of four numbers for each name; the numbers are `value`.
  fs::path write(const std::string& name, const Part& part, const std::vector<std::string>& tensors, float value) {
    Writer writer;
    if (!part.architecture.empty()) writer.add("general.architecture", part.architecture);
    writer.add("split.no", part.index);
    writer.add("split.count", part.count);
    writer.add("split.tensors.count", part.tensors);
    for (const std::string& tensor : tensors) writer.add_tensor(tensor, 0, {4}, 16);
    const fs::path path = folder_ / name;
    writer.open(path);
    const std::vector<float> data(4, value);
    for (std::size_t i = 0; i < tensors.size(); ++i) writer.write(std::as_bytes(std::span(data)));
    writer.close();
    return path;
  }

  // The three parts of a model of three tensors.
  fs::path write_all() {
    write("m-00002-of-00003.gguf", {.index = 1}, {"b"}, 2);
    write("m-00003-of-00003.gguf", {.index = 2}, {"c"}, 3);
    return write("m-00001-of-00003.gguf", {.index = 0, .architecture = "smollm3"}, {"a"}, 1);
  }

  // The message of opening it, which must fail.
  static std::string refusal(const fs::path& path) {
    try {
      open_model(path);
    } catch (const base::Error& error) {
      return error.what();
    }
    ADD_FAILURE() << path << " was opened";
    return {};
  }

  fs::path folder_;
};

void expect_words(const std::string& text, const std::vector<std::string>& words) {
  for (const std::string& word : words) EXPECT_NE(text.find(word), std::string::npos) << word << " in: " << text;
}

TEST_F(Split, AllPartsAreOneModel) {
  const File file = open_model(write_all());
  EXPECT_EQ(file.string("general.architecture"), "smollm3");
  ASSERT_EQ(file.tensors().size(), 3U);
  for (const auto& [name, value] : {std::pair("a", 1.0F), std::pair("b", 2.0F), std::pair("c", 3.0F)}) {
    const Tensor* tensor = file.tensor(name);
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(*reinterpret_cast<const float*>(tensor->room.data()), value);
  }
  std::uint64_t size = 0;
  for (const std::string& path : file.paths()) size += fs::file_size(path);
  EXPECT_EQ(file.paths().size(), 3U);
  EXPECT_EQ(file.size(), size);
}

TEST_F(Split, AFirstPartWithoutTensors) {
  write("m-00002-of-00002.gguf", {.index = 1, .count = 2, .tensors = 2}, {"a", "b"}, 1);
  const File file = open_model(write("m-00001-of-00002.gguf", {.count = 2, .tensors = 2, .architecture = "x"}, {}, 0));
  EXPECT_NE(file.tensor("b"), nullptr);
}

TEST_F(Split, AWholeFileIsItself) {
  const fs::path path = write("one.gguf", {.count = 1, .tensors = 1}, {"a"}, 1);
  EXPECT_EQ(open_model(path).tensors().size(), 1U);
  EXPECT_FALSE(split_part(File::open(path)));
  EXPECT_EQ(split_part(File::open(write_all()))->count, 3U);
}

TEST_F(Split, AMissingPart) {
  const fs::path first = write_all();
  fs::remove(folder_ / "m-00003-of-00003.gguf");
  expect_words(refusal(first), {"m-00003-of-00003.gguf: is missing", "part 3 of 3", "m-00001-of-00003.gguf"});
}

TEST_F(Split, AnotherThanTheFirst) {
  write_all();
  expect_words(refusal(folder_ / "m-00002-of-00003.gguf"),
               {"part 2 of 3", "name the first: ", "m-00001-of-00003.gguf"});
  fs::rename(folder_ / "m-00002-of-00003.gguf", folder_ / "renamed.gguf");
  expect_words(refusal(folder_ / "renamed.gguf"), {"part 2 of 3", "name the first"});
}

TEST_F(Split, ARenamedFirstPart) {
  fs::rename(write_all(), folder_ / "renamed.gguf");
  expect_words(refusal(folder_ / "renamed.gguf"), {"part 1 of 3", "-00001-of-00003.gguf"});
}

TEST_F(Split, PartsThatDoNotBelongTogether) {
  const fs::path first = write_all();
  const std::string second = "m-00002-of-00003.gguf";
  write(second, {.index = 2}, {"b"}, 2);  // the third's contents
  expect_words(refusal(first), {second, "part 3 of 3", "another split"});
  write(second, {.index = 1, .count = 4}, {"b"}, 2);
  expect_words(refusal(first), {second, "part 2 of 4", "another split"});
  write(second, {.index = 1, .tensors = 9}, {"b"}, 2);
  expect_words(refusal(first), {second, "of 9 tensors", "another split"});
  write(second, {.index = 1, .count = 0}, {"b"}, 2);
  expect_words(refusal(first), {second, "no part of a split"});
  write(second, {.index = 1, .architecture = "llama"}, {"b"}, 2);
  expect_words(refusal(first), {second, "another model"});
  write(second, {.index = 1}, {"b", "a"}, 2);
  expect_words(refusal(first), {second, "the tensor a", "earlier part"});
  write(second, {.index = 1}, {}, 2);
  expect_words(refusal(first), {"hold 2 tensors where 3"});
  write(second, {.index = 3}, {"b"}, 2);
  expect_words(refusal(first), {second, "part 3 (from 0) of 3"});
}

TEST(SplitName, LaterParts) {
  EXPECT_TRUE(is_named_as_later_part("folder/m-00002-of-00003.gguf"));
  EXPECT_FALSE(is_named_as_later_part("m-00001-of-00003.gguf"));
  EXPECT_FALSE(is_named_as_later_part("m-0002-of-00003.gguf"));
  EXPECT_FALSE(is_named_as_later_part("m-00002-of-0000x.gguf"));
  EXPECT_FALSE(is_named_as_later_part("-00002-of-00003.gguf"));
}

}  // namespace
}  // namespace gguf
