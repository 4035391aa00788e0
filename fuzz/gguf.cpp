// A file of any bytes: read, looked through, and taken for a SmolLM3 model as far as that goes without computing.
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <span>
#include <string>

#include "base/error.h"
#include "gguf/gguf.h"
#include "quant/decode.h"
#include "smollm3/config.h"
#include "smollm3/tokenizer.h"
#include "smollm3/weights.h"

// All that reading weights asks of the kernels, which are not here.
bool compute::can_multiply(quant::Type type) { return quant::can_decode(type); }

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

// Reads every byte of the span, so that a wrong one shows.
unsigned touch(std::span<const std::byte> bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), 0u,
                         [](unsigned sum, std::byte b) { return sum * 31 + unsigned(b); });
}

template <typename Use>
void allow_error(Use&& use) {
  try {
    use();
  } catch (const base::Error& error) {
    require(!std::string(error.what()).empty());
  }
}

void look_through(const gguf::File& file) {
  volatile unsigned sink = 0;
  for (const gguf::Entry& entry : file.metadata()) {
    require(file.find(entry.key) == &entry.value);
    if (const auto* text = std::get_if<std::string_view>(&entry.value)) sink = touch(std::as_bytes(std::span(*text)));
    const auto* array = std::get_if<gguf::Array>(&entry.value);
    if (array == nullptr) continue;
    sink = touch(array->bytes);
    allow_error([&] {
      for (const std::string_view text : array->strings()) sink = touch(std::as_bytes(std::span(text)));
    });
    if (array->type == gguf::ValueType::String) continue;
    for (std::uint64_t i = 0; i < array->count; ++i)
      allow_error([&] { sink = static_cast<unsigned>(array->integer(i)); });
  }
  for (const gguf::Tensor& tensor : file.tensors()) {
    require(file.tensor(tensor.name) == &tensor);
    require(tensor.elements() > 0);
    sink = touch(tensor.room);
  }
}

void read_as_model(const gguf::File& file) {
  allow_error([&] {
    const smollm3::Tokenizer tokenizer = smollm3::Tokenizer::load(file);
    require(tokenizer.decode(tokenizer.encode("Hello, world 123")) == "Hello, world 123");
  });
  allow_error([&] {
    const smollm3::Weights weights = smollm3::Weights::read(file, smollm3::Config::read(file, 0));
    volatile unsigned sink = touch(weights.output.data);
    for (const smollm3::LayerWeights& layer : weights.layers)
      sink = sink + touch(layer.down.data) + touch(layer.q.data);
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  allow_error([&] {
    const gguf::File file = gguf::File::parse(std::as_bytes(std::span(data, size)), "fuzz");
    look_through(file);
    read_as_model(file);
  });
  return 0;
}
