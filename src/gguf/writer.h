// Writing a GGUF file, version 3: metadata first, then tensors, each streamed so that no file need fit in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"

namespace gguf {

class Writer {
 public:
  // Metadata, in the order it shall stand in the file.
  void add(std::string_view key, std::uint32_t value);
  void add(std::string_view key, float value);
  void add(std::string_view key, bool value);
  void add(std::string_view key, std::string_view value);
  void add(std::string_view key, const char* value) { add(key, std::string_view(value)); }
  void add(std::string_view key, std::span<const std::string> values);
  void add(std::string_view key, std::span<const std::int32_t> values);
  void add(const Entry& entry);  // as read from another file

  // Announces a tensor of `bytes` bytes; its data follows through write(), in the order of the announcements.
  void add_tensor(std::string_view name, std::uint32_t type, std::vector<std::uint64_t> shape, std::uint64_t bytes);

  // Creates the file and writes the header; once. Nothing may be added afterwards.
  void open(const std::filesystem::path& path);
  // The next bytes of the tensor data; padding between tensors is written as their sizes are reached.
  void write(std::span<const std::byte> bytes);
  // Writes the rest, and checks that every announced byte was written. Throws base::Error if the disk is full or a
  // write failed. Without it the file is not whole.
  void close();

 private:
  struct Announced {
    std::string name;
    std::uint32_t type;
    std::vector<std::uint64_t> shape;
    std::uint64_t bytes;
  };

  void begin_entry(std::string_view key, ValueType type);
  void put_out(const char* bytes, std::size_t count);
  void flush();
  void check() const;

  std::string metadata_;
  std::uint64_t entries_ = 0;
  std::vector<Announced> tensors_;
  std::ofstream file_;
  std::string path_;
  std::vector<char> piece_;    // of the file, not written yet
  std::size_t current_ = 0;    // tensor being written
  std::uint64_t written_ = 0;  // bytes of it so far
};

}  // namespace gguf
