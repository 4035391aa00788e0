#include "gguf/gguf.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <random>

#include "base/error.h"
#include "gguf/writer.h"

namespace gguf {
namespace {

std::vector<std::byte> read_all(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

// A small file with a value of every kind the writer has, and two tensors.
std::vector<std::byte> sample() {
  static int made = 0;
  const auto path = std::filesystem::path(testing::TempDir()) /
                    ("sample-" + std::to_string(getpid()) + "-" + std::to_string(made++) + ".gguf");
  const std::vector<std::string> words = {"one", "", "three"};
  const std::vector<std::int32_t> numbers = {1, -2, 3};
  Writer writer;
  writer.add("general.architecture", "smollm3");
  writer.add("count", std::uint32_t{36});
  writer.add("epsilon", 1e-6f);
  writer.add("flag", true);
  writer.add("words", words);
  writer.add("numbers", numbers);
  writer.add_tensor("a", 0, {3, 2}, 24);
  writer.add_tensor("b", 0, {5}, 20);
  writer.open(path);
  std::vector<std::byte> data(44);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i);
  writer.write(data);
  writer.close();
  auto bytes = read_all(path);
  std::filesystem::remove(path);
  return bytes;
}

TEST(Gguf, ReadsWhatTheWriterWrote) {
  const auto bytes = sample();
  const File file = File::parse(bytes, "sample");
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.string("general.architecture"), "smollm3");
  EXPECT_EQ(file.integer("count"), 36u);
  EXPECT_EQ(file.integer("absent", 7), 7u);
  EXPECT_FLOAT_EQ(static_cast<float>(file.number("epsilon", 0)), 1e-6f);
  EXPECT_TRUE(file.boolean("flag", false));
  EXPECT_EQ(file.array("words").strings(), (std::vector<std::string_view>{"one", "", "three"}));
  EXPECT_EQ(file.array("numbers").integer(1), -2);
  ASSERT_EQ(file.tensors().size(), 2u);
  const Tensor* b = file.tensor("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->shape, (std::vector<std::uint64_t>{5}));
  EXPECT_GE(b->room.size(), 20u);
  EXPECT_EQ(b->room[0], std::byte{24});
  EXPECT_EQ(file.tensor("a")->room.size(), 32u);
}

TEST(Gguf, CopiesEveryKindOfEntry) {
  const auto bytes = sample();
  const File file = File::parse(bytes, "sample");
  const auto path = std::filesystem::path(testing::TempDir()) / ("copy-" + std::to_string(getpid()) + ".gguf");
  Writer writer;
  for (const Entry& entry : file.metadata()) writer.add(entry);
  for (const Tensor& t : file.tensors()) writer.add_tensor(t.name, t.type, t.shape, t.elements() * 4);
  writer.open(path);
  for (const Tensor& t : file.tensors()) writer.write(t.room.first(static_cast<std::size_t>(t.elements() * 4)));
  writer.close();
  EXPECT_EQ(read_all(path), bytes);
  std::filesystem::remove(path);
}

// The writer gathers pieces of 2 MB.
TEST(Gguf, WritesFilesOfAnySizeWhole) {
  const auto path = std::filesystem::path(testing::TempDir()) / ("sizes-" + std::to_string(getpid()) + ".gguf");
  constexpr std::uint64_t piece = std::uint64_t{2} << 20;
  std::mt19937_64 random(1);
  std::uint64_t header = 0;  // bytes, once a file has been written
  for (std::uint64_t i = 0; i < 12; ++i) {
    // A small file, then such as end with a piece, the first or the second, or a little before or after it.
    const std::uint64_t wanted = i == 0 ? 4096 : (1 + i % 2) * piece + 32 * (i / 2) - 64;
    std::vector<std::uint32_t> data((wanted - header) / 4);
    for (std::uint32_t& word : data) word = static_cast<std::uint32_t>(random());
    const auto bytes = std::as_bytes(std::span(data));
    Writer writer;
    writer.add("general.architecture", "smollm3");
    writer.add_tensor("a", 0, {data.size()}, bytes.size());
    writer.open(path);
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t size =
          std::min<std::size_t>(1 + random() % (random() % 4 == 0 ? 3 * piece : 5000), bytes.size() - at);
      writer.write(bytes.subspan(at, size));
      at += size;
    }
    writer.close();
    const auto all = read_all(path);
    const File file = File::parse(all, "sizes");
    ASSERT_NE(file.tensor("a"), nullptr);
    ASSERT_GE(file.tensor("a")->room.size(), bytes.size());
    EXPECT_EQ(std::memcmp(file.tensor("a")->room.data(), bytes.data(), bytes.size()), 0);
    header = all.size() - (bytes.size() + 31) / 32 * 32;
    EXPECT_EQ(all.size(), i == 0 ? wanted + header : wanted);
  }
  std::filesystem::remove(path);
}

TEST(Gguf, SaysThatTheDiskIsFull) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full";
  for (const std::size_t size : {std::size_t{32}, std::size_t{5} << 20}) {
    Writer writer;
    writer.add_tensor("a", 0, {size / 4}, size);
    const auto write = [&] {
      writer.open("/dev/full");
      writer.write(std::vector<std::byte>(size));
      writer.close();
    };
    try {
      write();
      ADD_FAILURE() << "nothing was said of " << size << " bytes";
    } catch (const base::Error& error) {
      EXPECT_NE(std::string(error.what()).find("No space left"), std::string::npos) << error.what();
    }
  }
}

TEST(Gguf, RefusesAWrongKindOfValue) {
  const auto bytes = sample();
  const File file = File::parse(bytes, "sample");
  EXPECT_THROW(file.integer("words"), base::Error);
  EXPECT_THROW(file.string("count"), base::Error);
  EXPECT_THROW(file.integer("absent"), base::Error);
  EXPECT_THROW(file.array("numbers").strings(), base::Error);
}

// What a reader would do with an accepted file: touch everything.
void use(const File& file) {
  for (const Entry& entry : file.metadata()) {
    if (const Array* array = std::get_if<Array>(&entry.value)) {
      if (array->type == ValueType::String) {
        for (const std::string_view text : array->strings()) ASSERT_LE(text.size(), file.size());
      } else if (array->count > 0) {
        array->number(array->count - 1);
      }
    }
  }
  for (const Tensor& tensor : file.tensors()) ASSERT_LE(tensor.room.size(), file.size());
}

TEST(Gguf, TruncatedAnywhereItIsRefusedOrHarmless) {
  const auto bytes = sample();
  int refused = 0;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    try {
      use(File::parse(std::span(bytes).first(size), "cut"));
    } catch (const base::Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, static_cast<int>(bytes.size()) * 3 / 4);
}

TEST(Gguf, MutatedFilesAreRefusedOrHarmless) {
  const auto bytes = sample();
  std::mt19937 random(1);
  const std::uint64_t nasty[] = {0, 1, 0x7fffffff, 0xffffffff, 1ull << 32, 1ull << 62, ~0ull};
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    auto mutated = bytes;
    if (round % 2 == 0) {
      for (int i = 0; i < 3; ++i) mutated[random() % mutated.size()] = static_cast<std::byte>(random());
    } else {
      const std::uint64_t value = nasty[random() % std::size(nasty)];
      std::memcpy(mutated.data() + random() % (mutated.size() - 8), &value, 8);
    }
    try {
      use(File::parse(mutated, "mutated"));
    } catch (const base::Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

TEST(Gguf, TwoTensorsOfOneNameAreRefused) {
  auto bytes = sample();
  // The tensors' names are the only one-letter strings in the file: length 1, then the letter.
  const char b[] = {1, 0, 0, 0, 0, 0, 0, 0, 'b'};
  for (std::size_t i = 0; i + sizeof b <= bytes.size(); ++i) {
    if (std::memcmp(bytes.data() + i, b, sizeof b) == 0) bytes[i + 8] = std::byte{'a'};
  }
  EXPECT_THROW(File::parse(bytes, "twins"), base::Error);
}

}  // namespace
}  // namespace gguf
