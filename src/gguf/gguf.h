// GGUF, versions 2 and 3: a file of metadata and tensors. Reading maps the file and checks every size, count and offset
// against the file's length before it is used; the file may be hostile.
// Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/mapped_file.h"

namespace gguf {

// Numbers of the format's value types.
enum class ValueType : std::uint32_t { U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64 };

// An array as it lies in the file: `count` elements of `type` in `bytes`. Nested arrays are refused when the file is
// opened. Strings are laid out one after another, so they are read in order (see for_each_string).
struct Array {
  ValueType type;
  std::uint64_t count;
  std::span<const std::byte> bytes;

  // The i-th number, of an array of any integer, float or bool type; i < count.
  double number(std::uint64_t i) const;
  std::int64_t integer(std::uint64_t i) const;
  // All strings, in order, as views into the file; Error if the elements are not strings.
  std::vector<std::string_view> strings() const;
};

// Numbers are widened: unsigned and signed to 64 bits, floats to double.
using Value = std::variant<std::uint64_t, std::int64_t, double, bool, std::string_view, Array>;

struct Entry {
  std::string_view key;
  ValueType type;
  Value value;
};

// What a tensor's type means is not this layer's business: whoever knows it checks that the tensor fits into its room,
// and thereby that it overlaps no other and ends inside the file.
struct Tensor {
  std::string_view name;
  std::uint32_t type;                // ggml's number: see quant/type.h
  std::vector<std::uint64_t> shape;  // innermost dimension first: {columns, rows, …}
  std::uint64_t offset;              // from the start of the tensor data, in bytes
  std::span<const std::byte> room;   // from its offset to the next tensor's or the file's end

  std::uint64_t elements() const;
};

class File {
 public:
  // Maps and checks the header. Throws base::Error naming the file and what is wrong with it.
  static File open(const std::filesystem::path& path);
  // The same from memory that outlives the File (the model built into the program); `name` is for messages.
  static File parse(std::span<const std::byte> bytes, std::string name);

  const std::string& name() const { return name_; }
  std::uint32_t version() const { return version_; }
  std::uint64_t size() const { return size_; }  // of all the files it came from
  const std::vector<Entry>& metadata() const { return metadata_; }
  const std::vector<Tensor>& tensors() const { return tensors_; }
  const base::MappedFile& mapping() const { return mapping_; }
  // The paths of the files it came from: one, unless others were appended; none if it came from memory.
  const std::vector<std::string>& paths() const { return paths_; }

  const Value* find(std::string_view key) const;      // nullptr if absent
  const Tensor* tensor(std::string_view name) const;  // nullptr if absent

  // Takes over another file's tensors, whose names must all be new here. Its metadata are left behind.
  void append(File&& other);

  // Metadata by key. The forms with a fallback return it when the key is absent; a value of another kind or out of
  // range is an Error in both.
  std::uint64_t integer(std::string_view key) const;
  std::uint64_t integer(std::string_view key, std::uint64_t fallback) const;
  double number(std::string_view key, double fallback) const;
  bool boolean(std::string_view key, bool fallback) const;
  std::string_view string(std::string_view key) const;
  std::string_view string(std::string_view key, std::string_view fallback) const;
  const Array& array(std::string_view key) const;

 private:
  void read();

  base::MappedFile mapping_;
  std::vector<base::MappedFile> appended_;
  std::span<const std::byte> bytes_;
  std::uint64_t size_ = 0;
  std::string name_;
  std::vector<std::string> paths_;
  std::uint32_t version_ = 0;
  std::vector<Entry> metadata_;
  std::vector<Tensor> tensors_;
  std::vector<std::uint32_t> by_key_;   // indices of metadata_, sorted by key
  std::vector<std::uint32_t> by_name_;  // indices of tensors_, sorted by name
};

}  // namespace gguf
