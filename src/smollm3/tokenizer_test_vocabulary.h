// Small vocabularies for tests, written as GGUF files.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "gguf/gguf.h"
#include "gguf/writer.h"
#include "smollm3/tokenizer_vocabulary.h"

namespace smollm3::test {

// How files spell bytes.
inline std::string spelled(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    unsigned code_point = static_cast<unsigned char>(c);
    if (code_point <= 0x20) {
      code_point += 0x100;
    } else if (code_point >= 0x7F && code_point <= 0xA0) {
      code_point += 0x121 - 0x7F;
    } else if (code_point == 0xAD) {
      code_point = 0x143;
    }
    base::utf8::append(text, code_point);
  }
  return text;
}

// Starts with the 256 bytes as tokens 0 … 255. The fields are public so that a test can spoil them.
struct VocabularyFile {
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
  std::vector<std::string> merges;
  std::string model = "gpt2";
  std::string pre = "smaug-bpe";
  std::optional<std::uint32_t> bos, eos, eot;
  std::optional<bool> add_bos;

  VocabularyFile() {
    for (int byte = 0; byte < 256; ++byte) add(spelled(std::string(1, static_cast<char>(byte))), TokenKind::Normal);
  }

  Token add(const std::string& text, TokenKind kind) {
    tokens.push_back(text);
    types.push_back(static_cast<std::int32_t>(kind));
    return static_cast<Token>(tokens.size() - 1);
  }

  // Adds the merge, and its result as a token if it is not one yet; both given as bytes.
  Token merge(std::string_view left, std::string_view right) {
    const std::string result = spelled(left) + spelled(right);
    merges.push_back(spelled(left) + " " + spelled(right));
    const auto at = std::find(tokens.begin(), tokens.end(), result);
    return at == tokens.end() ? add(result, TokenKind::Normal) : static_cast<Token>(at - tokens.begin());
  }

  void add_to(gguf::Writer& writer) const {
    writer.add("tokenizer.ggml.model", model);
    writer.add("tokenizer.ggml.pre", pre);
    writer.add("tokenizer.ggml.tokens", std::span<const std::string>(tokens));
    writer.add("tokenizer.ggml.token_type", std::span<const std::int32_t>(types));
    writer.add("tokenizer.ggml.merges", std::span<const std::string>(merges));
    if (bos) writer.add("tokenizer.ggml.bos_token_id", *bos);
    if (eos) writer.add("tokenizer.ggml.eos_token_id", *eos);
    if (eot) writer.add("tokenizer.ggml.eot_token_id", *eot);
    if (add_bos) writer.add("tokenizer.ggml.add_bos_token", *add_bos);
  }

  gguf::File open() const {
    gguf::Writer writer;
    add_to(writer);
    const std::filesystem::path path = testing::TempDir() + "vocabulary-" + std::to_string(getpid()) + ".gguf";
    writer.open(path);
    writer.close();
    gguf::File file = gguf::File::open(path);
    std::filesystem::remove(path);
    return file;
  }
};

}  // namespace smollm3::test
