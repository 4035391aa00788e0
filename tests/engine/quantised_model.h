// A random model whose products all have a fast form, with a tokenizer: for tests of the engine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/writer.h"
#include "reference/ours.h"
#include "reference/random_model.h"
#include "smollm3/tokenizer.h"
#include "smollm3/tokenizer_test_vocabulary.h"

namespace engine {

inline constexpr std::uint32_t vocab = 1000;

// No token ends an answer, and each of those that are not bytes has a text of its own.
inline void add_tokenizer(gguf::Writer& out) {
  smollm3::test::VocabularyFile file;
  while (file.tokens.size() < vocab)
    file.add("<" + std::to_string(file.tokens.size()) + ">", smollm3::TokenKind::Normal);
  file.add_to(out);
}

// All columns are whole blocks of 256, so that every product has a fast form.
inline reference::RandomModel quantised_model(std::uint32_t layers = 5) {
  return {.layers = layers,
          .vocab = vocab,
          .type = [layers](std::string_view tensor) { return reference::q4_k_m(tensor, layers); },
          .tokenizer = add_tokenizer};
}

inline std::vector<smollm3::Token> random_tokens(std::size_t count, std::uint64_t seed) {
  const std::vector<std::uint32_t> ids = reference::random_tokens(count, vocab, seed);
  return {ids.begin(), ids.end()};
}

}  // namespace engine
