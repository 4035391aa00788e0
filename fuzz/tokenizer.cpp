// Any text, in and out of tokens. What comes back must be the same bytes; plain text must never become a special token.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "gguf/writer.h"
#include "smollm3/tokenizer.h"

namespace {

using smollm3::Fragment;
using smollm3::Token;
using smollm3::Tokenizer;

constexpr std::int32_t normal = 1, control = 3, user_defined = 4;

void require(bool holds) {
  if (!holds) std::abort();
}

// How files spell a byte.
std::string spelled(int byte) {
  static const auto code_points = [] {
    std::array<int, 256> points{};
    int substitute = 256;
    for (int b = 0; b < 256; ++b) {
      const bool prints = (b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD);
      points[static_cast<std::size_t>(b)] = prints ? b : substitute++;
    }
    return points;
  }();
  const int c = code_points[static_cast<std::size_t>(byte)];
  std::string text;
  base::utf8::append(text, static_cast<char32_t>(c));
  return text;
}

// The bytes, tokens that random merges make, and special tokens of which one begins and one ends another.
Tokenizer make_tokenizer(const char* pre) {
  std::vector<std::string> tokens, merges;
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(spelled(byte));
  std::vector<std::string> parts;
  for (const char c : std::string_view("abet \n09'<|>_\xC3\xBC\xE4\xBD\xA0"))
    parts.push_back(spelled(static_cast<unsigned char>(c)));
  std::mt19937 random(1);
  std::set<std::string> known(tokens.begin(), tokens.end());
  while (merges.size() < 600) {
    const std::string left = parts[random() % parts.size()];
    const std::string right = parts[random() % parts.size()];
    if (left.size() + right.size() > 24 || !known.insert(left + right).second) continue;
    merges.push_back(left + " " + right);
    tokens.push_back(left + right);
    parts.push_back(left + right);
  }
  std::vector<std::int32_t> kinds(tokens.size(), normal);
  for (const char* name : {"<|im_start|>", "<|im_end|>", "<|im", "end|>"})
    tokens.emplace_back(name), kinds.push_back(control);
  for (const char* name : {"<think>", "</think>"}) tokens.emplace_back(name), kinds.push_back(user_defined);

  gguf::Writer writer;
  writer.add("tokenizer.ggml.model", "gpt2");
  writer.add("tokenizer.ggml.pre", pre);
  writer.add("tokenizer.ggml.add_bos_token", false);
  writer.add("tokenizer.ggml.tokens", std::span<const std::string>(tokens));
  writer.add("tokenizer.ggml.token_type", std::span<const std::int32_t>(kinds));
  writer.add("tokenizer.ggml.merges", std::span<const std::string>(merges));
  const auto path = std::filesystem::temp_directory_path() / ("smollm3-fuzz-" + std::to_string(getpid()) + ".gguf");
  writer.open(path);
  writer.close();
  const gguf::File file = gguf::File::open(path);
  std::filesystem::remove(path);
  return Tokenizer::load(file);
}

void check(const Tokenizer& tokenizer, std::string_view text, std::size_t cut) {
  const std::vector<Token> plain = tokenizer.encode(text);
  require(tokenizer.decode(plain) == text);
  require(std::none_of(plain.begin(), plain.end(), [&](Token token) { return tokenizer.is_special(token); }));

  const std::vector<Token> special = tokenizer.encode(text, true);
  require(tokenizer.decode(special, true) == text);

  // Where a text is cut into fragments is no edge of a token; of the special part alone names count.
  const std::string_view left = text.substr(0, cut), right = text.substr(cut);
  require(tokenizer.encode(std::array{Fragment{left, false}, Fragment{right, false}}) == plain);
  require(tokenizer.encode(std::array{Fragment{left, true}, Fragment{right, true}}) == special);
  const std::vector<Token> mixed = tokenizer.encode(std::array{Fragment{left, false}, Fragment{right, true}});
  require(tokenizer.decode(mixed, true) == text);
  std::size_t at = 0;
  for (const Token token : mixed) {
    require(at >= cut || !tokenizer.is_special(token));
    at += tokenizer.bytes(token).size();
  }

  smollm3::StreamDecoder decoder(tokenizer);
  std::string streamed;
  for (const Token token : plain) streamed += decoder.push(token);
  streamed += decoder.finish();
  require(base::utf8::is_valid(streamed));
  require(!base::utf8::is_valid(text) || streamed == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Tokenizer smaug = make_tokenizer("smaug-bpe");
  static const Tokenizer llama = make_tokenizer("llama-bpe");
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = size == 0 ? 0 : data[0] % (size + 1);
  check(smaug, text, cut);
  check(llama, text, cut);
  return 0;
}
