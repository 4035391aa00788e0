#include "gguf/writer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace gguf {
namespace {

constexpr std::uint64_t alignment = 32;

// The file is written in pieces of this size. On file systems whose page cache has large folios, that makes it lie
// there in pages of 2 MB, which whoever maps it next reads faster; in smaller pieces it gets small ones, until it is
// read anew.
constexpr std::size_t piece_bytes = std::size_t{2} << 20;

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_string(std::string& out, std::string_view text) {
  put(out, std::uint64_t{text.size()});
  out.append(text);
}

void put_bytes(std::string& out, std::span<const std::byte> bytes) {
  out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::uint64_t padding(std::uint64_t size) { return (alignment - size % alignment) % alignment; }

// A widened value in the width it had.
struct Narrow {
  std::string& out;
  ValueType type;

  void operator()(std::uint64_t value) const { integer(value); }
  void operator()(std::int64_t value) const { integer(static_cast<std::uint64_t>(value)); }
  void operator()(bool value) const { put(out, static_cast<std::uint8_t>(value)); }
  void operator()(double value) const {
    type == ValueType::F32 ? put(out, static_cast<float>(value)) : put(out, value);
  }
  void operator()(std::string_view value) const { put_string(out, value); }
  void operator()(const Array& value) const {
    put(out, static_cast<std::uint32_t>(value.type));
    put(out, value.count);
    put_bytes(out, value.bytes);
  }

  // Little-endian two's complement: the low bytes are the narrow value.
  void integer(std::uint64_t value) const {
    std::size_t size = 8;
    if (type == ValueType::U8 || type == ValueType::I8) size = 1;
    if (type == ValueType::U16 || type == ValueType::I16) size = 2;
    if (type == ValueType::U32 || type == ValueType::I32) size = 4;
    out.append(reinterpret_cast<const char*>(&value), size);
  }
};

}  // namespace

void Writer::begin_entry(std::string_view key, ValueType type) {
  put_string(metadata_, key);
  put(metadata_, static_cast<std::uint32_t>(type));
  ++entries_;
}

void Writer::add(std::string_view key, std::uint32_t value) {
  begin_entry(key, ValueType::U32);
  put(metadata_, value);
}

void Writer::add(std::string_view key, float value) {
  begin_entry(key, ValueType::F32);
  put(metadata_, value);
}

void Writer::add(std::string_view key, bool value) {
  begin_entry(key, ValueType::Bool);
  put(metadata_, static_cast<std::uint8_t>(value));
}

void Writer::add(std::string_view key, std::string_view value) {
  begin_entry(key, ValueType::String);
  put_string(metadata_, value);
}

void Writer::add(std::string_view key, std::span<const std::string> values) {
  begin_entry(key, ValueType::Array);
  put(metadata_, static_cast<std::uint32_t>(ValueType::String));
  put(metadata_, std::uint64_t{values.size()});
  for (const std::string& value : values) put_string(metadata_, value);
}

void Writer::add(std::string_view key, std::span<const std::int32_t> values) {
  begin_entry(key, ValueType::Array);
  put(metadata_, static_cast<std::uint32_t>(ValueType::I32));
  put(metadata_, std::uint64_t{values.size()});
  put_bytes(metadata_, std::as_bytes(values));
}

void Writer::add(const Entry& entry) {
  begin_entry(entry.key, entry.type);
  std::visit(Narrow{metadata_, entry.type}, entry.value);
}

void Writer::add_tensor(std::string_view name, std::uint32_t type, std::vector<std::uint64_t> shape,
                        std::uint64_t bytes) {
  tensors_.push_back({std::string(name), type, std::move(shape), bytes});
}

void Writer::open(const std::filesystem::path& path) {
  path_ = path.string();
  file_.open(path, std::ios::binary | std::ios::trunc);
  check();
  std::string header = "GGUF";
  put(header, std::uint32_t{3});
  put(header, std::uint64_t{tensors_.size()});
  put(header, entries_);
  header += metadata_;
  std::uint64_t offset = 0;
  for (const Announced& tensor : tensors_) {
    put_string(header, tensor.name);
    put(header, static_cast<std::uint32_t>(tensor.shape.size()));
    for (const std::uint64_t size : tensor.shape) put(header, size);
    put(header, tensor.type);
    put(header, offset);
    offset += tensor.bytes + padding(tensor.bytes);
  }
  header.append(padding(header.size()), '\0');
  piece_.reserve(piece_bytes);
  put_out(header.data(), header.size());
  check();
}

void Writer::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (current_ == tensors_.size())
      throw base::Error(base::ErrorKind::Internal, path_, "more tensor data was written than announced");
    const std::uint64_t size = tensors_[current_].bytes;
    const auto part = bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(size - written_, bytes.size())));
    put_out(reinterpret_cast<const char*>(part.data()), part.size());
    bytes = bytes.subspan(part.size());
    written_ += part.size();
    if (written_ == size) {
      constexpr char zeros[alignment] = {};
      put_out(zeros, padding(size));
      ++current_;
      written_ = 0;
    }
  }
  check();
}

void Writer::close() {
  if (current_ != tensors_.size())
    throw base::Error(base::ErrorKind::Internal, path_, "less tensor data was written than announced");
  flush();
  file_.close();
  check();
}

void Writer::put_out(const char* bytes, std::size_t count) {
  while (count > 0) {
    const std::size_t part = std::min(count, piece_bytes - piece_.size());
    piece_.insert(piece_.end(), bytes, bytes + part);
    bytes += part;
    count -= part;
    if (piece_.size() == piece_bytes) flush();
  }
}

void Writer::flush() {
  file_.write(piece_.data(), static_cast<std::streamsize>(piece_.size()));
  piece_.clear();
}

void Writer::check() const {
  if (!file_)
    throw base::Error(base::kind_of_errno(errno), path_, std::string("cannot be written: ") + std::strerror(errno),
                      "check the path and the free space");
}

}  // namespace gguf
