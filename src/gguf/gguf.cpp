#include "gguf/gguf.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include "base/error.h"

namespace gguf {
namespace {

using base::Error;

constexpr const char* download_again = "the file is damaged or not a GGUF; download it again";
constexpr std::uint32_t max_dimensions = 4;
constexpr std::uint64_t default_alignment = 32;
constexpr std::uint64_t max_alignment = 1u << 20;
// Far more than any model has; each takes several times its bytes in the file once it is read.
constexpr std::uint64_t most_entries = 1u << 16;
constexpr std::uint64_t most_tensors = 1u << 16;
constexpr std::size_t longest_name = 256;

// Bytes of one value of a fixed-size type; 0 for strings and arrays.
std::size_t value_size(ValueType type) {
  switch (type) {
    case ValueType::U8:
    case ValueType::I8:
    case ValueType::Bool:
      return 1;
    case ValueType::U16:
    case ValueType::I16:
      return 2;
    case ValueType::U32:
    case ValueType::I32:
    case ValueType::F32:
      return 4;
    case ValueType::U64:
    case ValueType::I64:
    case ValueType::F64:
      return 8;
    case ValueType::String:
    case ValueType::Array:
      return 0;
  }
  return 0;
}

template <typename T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

Value widen(ValueType type, const std::byte* from) {
  switch (type) {
    case ValueType::U8:
      return std::uint64_t{load<std::uint8_t>(from)};
    case ValueType::U16:
      return std::uint64_t{load<std::uint16_t>(from)};
    case ValueType::U32:
      return std::uint64_t{load<std::uint32_t>(from)};
    case ValueType::U64:
      return load<std::uint64_t>(from);
    case ValueType::I8:
      return std::int64_t{load<std::int8_t>(from)};
    case ValueType::I16:
      return std::int64_t{load<std::int16_t>(from)};
    case ValueType::I32:
      return std::int64_t{load<std::int32_t>(from)};
    case ValueType::I64:
      return load<std::int64_t>(from);
    case ValueType::F32:
      return double{load<float>(from)};
    case ValueType::F64:
      return load<double>(from);
    case ValueType::Bool:
      return load<std::uint8_t>(from) != 0;
    case ValueType::String:
    case ValueType::Array:
      break;
  }
  return {};
}

// Reads forward through the file; every read is checked against what is left.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  std::size_t position() const { return at_; }
  std::size_t left() const { return bytes_.size() - at_; }

  [[noreturn]] void fail(const std::string& why) const { throw Error(name_, why, download_again); }

  std::span<const std::byte> take(std::uint64_t size, const char* what) {
    if (size > left()) fail(std::string("ends inside ") + what);
    const auto taken = bytes_.subspan(at_, static_cast<std::size_t>(size));
    at_ += static_cast<std::size_t>(size);
    return taken;
  }

  template <typename T>
  T number(const char* what) {
    return load<T>(take(sizeof(T), what).data());
  }

  std::string_view string(const char* what) {
    const auto bytes = take(number<std::uint64_t>(what), what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  ValueType value_type(const char* what) {
    const auto type = number<std::uint32_t>(what);
    if (type > static_cast<std::uint32_t>(ValueType::F64))
      fail("has a metadata value of unknown type " + std::to_string(type));
    return static_cast<ValueType>(type);
  }

  Array array() {
    const ValueType type = value_type("an array's header");
    const auto count = number<std::uint64_t>("an array's header");
    if (type == ValueType::Array) fail("has an array of arrays, which no model needs");
    const std::size_t begin = at_;
    if (type == ValueType::String) {
      if (count > left() / sizeof(std::uint64_t)) fail("ends inside an array of strings");
      for (std::uint64_t i = 0; i < count; ++i) string("an array of strings");
    } else {
      const std::size_t size = value_size(type);
      if (count > left() / size) fail("ends inside an array");
      take(count * size, "an array");
    }
    return {type, count, bytes_.subspan(begin, at_ - begin)};
  }

  Value value(ValueType type) {
    if (type == ValueType::String) return string("a string value");
    if (type == ValueType::Array) return array();
    return widen(type, take(value_size(type), "a value").data());
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& name_;
  std::size_t at_ = 0;
};

// Indices of `items` sorted by a name of theirs; Error if two have the same.
template <typename Item, typename NameOf>
std::vector<std::uint32_t> index_by(const std::vector<Item>& items, NameOf name_of, const char* kind,
                                    const Cursor& at) {
  std::vector<std::uint32_t> index(items.size());
  std::iota(index.begin(), index.end(), 0u);
  std::sort(index.begin(), index.end(), [&](auto a, auto b) { return name_of(items[a]) < name_of(items[b]); });
  const auto twin = std::adjacent_find(index.begin(), index.end(),
                                       [&](auto a, auto b) { return name_of(items[a]) == name_of(items[b]); });
  if (twin != index.end()) at.fail(std::string("has two ") + kind + " named " + std::string(name_of(items[*twin])));
  return index;
}

template <typename Item, typename NameOf>
const Item* find_by(const std::vector<Item>& items, const std::vector<std::uint32_t>& index, NameOf name_of,
                    std::string_view name) {
  const auto found = std::lower_bound(index.begin(), index.end(), name,
                                      [&](auto i, std::string_view wanted) { return name_of(items[i]) < wanted; });
  return found != index.end() && name_of(items[*found]) == name ? &items[*found] : nullptr;
}

constexpr auto key_of = [](const Entry& entry) { return entry.key; };
constexpr auto name_of_tensor = [](const Tensor& tensor) { return tensor.name; };

Tensor read_tensor(Cursor& cursor, std::uint64_t alignment) {
  Tensor tensor;
  tensor.name = cursor.string("a tensor's name");
  if (tensor.name.size() > longest_name)
    cursor.fail("has a tensor whose name is " + std::to_string(tensor.name.size()) + " bytes long");
  const std::string name(tensor.name.substr(0, 64));
  const auto dimensions = cursor.number<std::uint32_t>("a tensor's description");
  if (dimensions == 0 || dimensions > max_dimensions) {
    cursor.fail("tensor " + name + " has " + std::to_string(dimensions) + " dimensions");
  }
  std::uint64_t elements = 1;
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    const auto size = cursor.number<std::uint64_t>("a tensor's description");
    if (size == 0 || size > std::numeric_limits<std::int64_t>::max() / elements) {
      cursor.fail("tensor " + name + " has an impossible shape");
    }
    elements *= size;
    tensor.shape.push_back(size);
  }
  tensor.type = cursor.number<std::uint32_t>("a tensor's description");
  tensor.offset = cursor.number<std::uint64_t>("a tensor's description");
  if (tensor.offset % alignment != 0) cursor.fail("tensor " + name + " does not start on the file's alignment");
  return tensor;
}

// Gives each tensor the bytes from its offset to the next one's.
void assign_room(std::vector<Tensor>& tensors, std::span<const std::byte> data, const Cursor& cursor) {
  std::vector<Tensor*> order;
  order.reserve(tensors.size());
  for (Tensor& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const Tensor* a, const Tensor* b) { return a->offset < b->offset; });
  std::uint64_t end = data.size();
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    Tensor& tensor = **it;
    if (tensor.offset > data.size()) {
      cursor.fail("tensor " + std::string(tensor.name.substr(0, 64)) + " starts past the end of the file");
    }
    tensor.room = data.subspan(static_cast<std::size_t>(tensor.offset), static_cast<std::size_t>(end - tensor.offset));
    end = tensor.offset;
  }
}

}  // namespace

double Array::number(std::uint64_t i) const {
  const Value value = widen(type, bytes.data() + i * value_size(type));
  if (const auto* u = std::get_if<std::uint64_t>(&value)) return static_cast<double>(*u);
  if (const auto* s = std::get_if<std::int64_t>(&value)) return static_cast<double>(*s);
  if (const auto* b = std::get_if<bool>(&value)) return *b ? 1 : 0;
  return std::get<double>(value);
}

std::int64_t Array::integer(std::uint64_t i) const {
  const Value value = widen(type, bytes.data() + i * value_size(type));
  if (const auto* s = std::get_if<std::int64_t>(&value)) return *s;
  if (const auto* b = std::get_if<bool>(&value)) return *b ? 1 : 0;
  if (const auto* u = std::get_if<std::uint64_t>(&value)) {
    if (*u <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      return static_cast<std::int64_t>(*u);
  }
  throw Error("GGUF metadata", "an array holds something other than integers", download_again);
}

std::vector<std::string_view> Array::strings() const {
  if (type != ValueType::String) throw Error("GGUF metadata", "an array of strings is of another type", download_again);
  std::vector<std::string_view> out;
  out.reserve(static_cast<std::size_t>(count));
  std::span<const std::byte> left = bytes;
  for (std::uint64_t i = 0; i < count; ++i) {
    // Checked once already when the file was read; but the file may have been written to since.
    if (left.size() < sizeof(std::uint64_t)) throw Error("GGUF metadata", "an array has changed", download_again);
    const auto size = static_cast<std::size_t>(load<std::uint64_t>(left.data()));
    left = left.subspan(sizeof(std::uint64_t));
    if (size > left.size()) throw Error("GGUF metadata", "an array has changed", download_again);
    out.emplace_back(reinterpret_cast<const char*>(left.data()), size);
    left = left.subspan(size);
  }
  return out;
}

std::uint64_t Tensor::elements() const {
  return std::accumulate(shape.begin(), shape.end(), std::uint64_t{1}, std::multiplies<>());
}

File File::open(const std::filesystem::path& path) {
  File file;
  file.mapping_ = base::MappedFile::open(path);
  file.bytes_ = file.mapping_.bytes();
  file.name_ = path.string();
  file.paths_ = {file.name_};
  file.read();
  return file;
}

File File::parse(std::span<const std::byte> bytes, std::string name) {
  File file;
  file.bytes_ = bytes;
  file.name_ = std::move(name);
  file.read();
  return file;
}

void File::append(File&& other) {
  size_ += other.size_;
  appended_.push_back(std::move(other.mapping_));
  std::ranges::move(other.appended_, std::back_inserter(appended_));
  std::ranges::move(other.paths_, std::back_inserter(paths_));
  std::ranges::move(other.tensors_, std::back_inserter(tensors_));
  by_name_ = index_by(tensors_, name_of_tensor, "tensors", Cursor({}, name_));
}

void File::read() {
  size_ = bytes_.size();
  Cursor cursor(bytes_, name_);
  const auto magic = cursor.take(4, "the magic number");
  if (std::memcmp(magic.data(), "GGUF", 4) != 0)
    throw Error(name_, "is not a GGUF file", "name a file that ends in .gguf");
  version_ = cursor.number<std::uint32_t>("the header");
  if (version_ == 0x03000000 || version_ == 0x02000000) {
    throw Error(name_, "is a big-endian GGUF", "convert it to little-endian");
  }
  if (version_ != 2 && version_ != 3) {
    throw Error(name_, "is GGUF version " + std::to_string(version_), "versions 2 and 3 are supported; convert it");
  }
  const auto tensor_count = cursor.number<std::uint64_t>("the header");
  const auto entry_count = cursor.number<std::uint64_t>("the header");

  // The least an entry or a tensor takes in the file bounds how many there can be, before anything is allocated.
  constexpr std::uint64_t least_entry = 8 + 4 + 1;
  constexpr std::uint64_t least_tensor = 8 + 4 + 8 + 4 + 8;
  if (entry_count > cursor.left() / least_entry) cursor.fail("claims more metadata than it has room for");
  if (entry_count > most_entries) cursor.fail("has " + std::to_string(entry_count) + " metadata entries");
  metadata_.reserve(static_cast<std::size_t>(entry_count));
  for (std::uint64_t i = 0; i < entry_count; ++i) {
    Entry entry;
    entry.key = cursor.string("a metadata key");
    entry.type = cursor.value_type("a metadata value");
    entry.value = cursor.value(entry.type);
    metadata_.push_back(entry);
  }
  by_key_ = index_by(metadata_, key_of, "metadata entries", cursor);

  const std::uint64_t alignment = integer("general.alignment", default_alignment);
  if (alignment == 0 || alignment > max_alignment || (alignment & (alignment - 1)) != 0) {
    cursor.fail("has an impossible alignment of " + std::to_string(alignment));
  }
  if (tensor_count > cursor.left() / least_tensor) cursor.fail("claims more tensors than it has room for");
  if (tensor_count > most_tensors) cursor.fail("has " + std::to_string(tensor_count) + " tensors");
  tensors_.reserve(static_cast<std::size_t>(tensor_count));
  for (std::uint64_t i = 0; i < tensor_count; ++i) tensors_.push_back(read_tensor(cursor, alignment));
  by_name_ = index_by(tensors_, name_of_tensor, "tensors", cursor);

  const std::uint64_t header = (cursor.position() + alignment - 1) / alignment * alignment;
  if (tensors_.empty()) return;
  if (header > bytes_.size()) cursor.fail("ends before its tensors");
  assign_room(tensors_, bytes_.subspan(static_cast<std::size_t>(header)), cursor);
}

const Value* File::find(std::string_view key) const {
  const Entry* entry = find_by(metadata_, by_key_, key_of, key);
  return entry ? &entry->value : nullptr;
}

const Tensor* File::tensor(std::string_view name) const { return find_by(tensors_, by_name_, name_of_tensor, name); }

namespace {

// The value of `key` as a T, nullptr if it is absent; Error if it is something else.
template <typename T>
const T* get(const File& file, std::string_view key, const char* kind) {
  const Value* value = file.find(key);
  if (!value) return nullptr;
  const T* wanted = std::get_if<T>(value);
  if (!wanted) throw Error(file.name(), "metadata " + std::string(key) + " is not " + kind, download_again);
  return wanted;
}

[[noreturn]] void missing(const File& file, std::string_view key) {
  throw Error(file.name(), "lacks the metadata " + std::string(key), "it may be of another model, or damaged");
}

}  // namespace

std::uint64_t File::integer(std::string_view key, std::uint64_t fallback) const {
  return find(key) ? integer(key) : fallback;
}

std::uint64_t File::integer(std::string_view key) const {
  const Value* value = find(key);
  if (!value) missing(*this, key);
  if (const auto* u = std::get_if<std::uint64_t>(value)) return *u;
  if (const auto* s = std::get_if<std::int64_t>(value); s && *s >= 0) return static_cast<std::uint64_t>(*s);
  throw Error(name_, "metadata " + std::string(key) + " is not a whole number from 0 up", download_again);
}

double File::number(std::string_view key, double fallback) const {
  const Value* value = find(key);
  if (!value) return fallback;
  if (const auto* d = std::get_if<double>(value)) return *d;
  return static_cast<double>(integer(key));
}

bool File::boolean(std::string_view key, bool fallback) const {
  const bool* value = get<bool>(*this, key, "true or false");
  return value ? *value : fallback;
}

std::string_view File::string(std::string_view key) const {
  if (!find(key)) missing(*this, key);
  return string(key, {});
}

std::string_view File::string(std::string_view key, std::string_view fallback) const {
  const std::string_view* value = get<std::string_view>(*this, key, "a string");
  return value ? *value : fallback;
}

const Array& File::array(std::string_view key) const {
  const Array* value = get<Array>(*this, key, "an array");
  if (!value) missing(*this, key);
  return *value;
}

}  // namespace gguf
