#include "engine/fingerprint.h"

#include <algorithm>
#include <bit>
#include <boost/uuid/name_generator_sha1.hpp>
#include <boost/uuid/uuid.hpp>
#include <cstddef>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "gguf/gguf.h"

namespace engine {
namespace {

constexpr std::size_t sample_bytes = 4096;

// Of pieces in their order, each with its length: a SHA-1 of the one before and the next piece.
class Hash {
 public:
  void add(std::span<const std::byte> bytes) {
    hash_ = boost::uuids::name_generator_sha1(hash_)(bytes.data(), bytes.size());
  }
  void add(std::string_view text) { add(std::as_bytes(std::span(text))); }
  void add(std::uint64_t number) { add(std::as_bytes(std::span(&number, 1))); }
  void add(std::int64_t number) { add(std::bit_cast<std::uint64_t>(number)); }
  void add(double number) { add(std::bit_cast<std::uint64_t>(number)); }
  void add(bool value) { add(std::uint64_t{value}); }
  void add(const gguf::Array& array) {
    add(static_cast<std::uint64_t>(array.type));
    add(array.count);
    add(array.bytes);
  }
  void add(const gguf::Entry& entry) {
    add(entry.key);
    add(static_cast<std::uint64_t>(entry.type));
    std::visit([this](const auto& value) { add(value); }, entry.value);
  }
  void add(const gguf::Tensor& tensor) {
    add(tensor.name);
    add(std::uint64_t{tensor.type});
    add(std::as_bytes(std::span(tensor.shape)));
    add(std::uint64_t{tensor.room.size()});
    const std::size_t size = std::min(tensor.room.size(), sample_bytes);
    for (const std::size_t begin : {std::size_t{0}, (tensor.room.size() - size) / 2, tensor.room.size() - size}) {
      add(tensor.room.subspan(begin, size));
    }
  }

  std::string digits() const {
    static constexpr char hexadecimal[] = "0123456789abcdef";
    std::string digits;
    for (const std::uint8_t byte : hash_) {
      digits += hexadecimal[byte >> 4];
      digits += hexadecimal[byte & 15];
    }
    return digits;
  }

 private:
  boost::uuids::uuid hash_{};
};

// By their keys, so that it is the same for all files of a model, however its weights are quantised.
std::string of_tokenizer(const gguf::File& file) {
  std::vector<const gguf::Entry*> entries;
  for (const gguf::Entry& entry : file.metadata()) {
    if (entry.key.starts_with("tokenizer.ggml.")) entries.push_back(&entry);
  }
  std::ranges::sort(entries, {}, &gguf::Entry::key);
  Hash hash;
  for (const gguf::Entry* entry : entries) hash.add(*entry);
  return hash.digits();
}

}  // namespace

Fingerprint fingerprint_of(const LoadedModel& loaded, compute::Precision prompts, quant::Type kv) {
  const gguf::File& file = loaded.file();
  Hash hash;
  hash.add(std::uint64_t{numerics_version});
  hash.add(file.size());
  for (const gguf::Entry& entry : file.metadata()) hash.add(entry);
  for (const gguf::Tensor& tensor : file.tensors()) hash.add(tensor);
  const smollm3::RopeConfig& rope = loaded.config().rope;  // which a context beyond the file's own stretches
  hash.add(rope.base);
  hash.add(rope.factor);
  hash.add(std::uint64_t{rope.original_context});
  hash.add(static_cast<std::uint64_t>(kv));
  // Exact, all processors give the same bits.
  const std::string mode = compute::mode(loaded.device(), prompts);
  hash.add(std::string_view(mode));
  if (mode != "exact") hash.add(std::string_view(loaded.device().name()));
  return {.tokenizer = of_tokenizer(file), .whole = hash.digits()};
}

}  // namespace engine
