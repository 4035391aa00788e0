// Text to tokens and back: byte-level BPE as SmolLM3's files have it (`tokenizer.ggml.model` = gpt2 with `pre`
// smaug-bpe or llama-bpe). Text is cut into words by Llama-3's rule (tokenizer_words.h) and each word's bytes are
// merged pair by pair, lowest rank first (tokenizer_merges.h); with llama-bpe a word that is a token as a whole is
// taken as it is.
//
// On valid UTF-8 the ids are llama.cpp's. Two differences are meant: special tokens are recognised only where the
// caller says so (llama.cpp also takes user-defined ones, such as <think>, in plain text), and bytes that are not
// UTF-8 survive the round trip (llama.cpp replaces them by U+FFFD).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"

namespace smollm3 {

using Token = std::int32_t;

// A part of a prompt with its provenance. Names of special tokens are recognised only within text that is `special`:
// the template's own, never what a user typed.
struct Fragment {
  std::string_view text;
  bool special = false;
};

class Tokenizer {
 public:
  // Copies what it needs, so the file may go. Throws base::Error naming what is missing or does not fit together.
  static Tokenizer load(const gguf::File& file);

  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  // The tokens of `text`, any bytes. No BOS is put in front (see add_bos). Safe to call from many threads.
  std::vector<Token> encode(std::string_view text, bool special = false) const;
  // The tokens of all fragments' texts joined, as if they were one text; a special token's name counts only where it
  // lies wholly in special fragments.
  std::vector<Token> encode(std::span<const Fragment> fragments) const;

  // The bytes a token stands for; of control and user-defined tokens the name. Valid while the Tokenizer lives.
  std::string_view bytes(Token token) const;
  // The bytes of all tokens joined; control tokens' names only if `special`, user-defined ones' (<think>) always.
  std::string decode(std::span<const Token> tokens, bool special = false) const;

  // A control or user-defined token by its name: "<|im_end|>", "<think>".
  std::optional<Token> find(std::string_view name) const;

  std::int32_t vocab_size() const;
  bool is_valid(Token token) const { return token >= 0 && token < vocab_size(); }
  bool is_control(Token token) const;  // has no text of its own in an answer: <|im_end|>
  bool is_special(Token token) const;  // control or user-defined: never the result of plain text

  // Tokens that end an answer: the file's eos and eot, and <|im_end|>, <|end_of_text|>, <|endoftext|>, <|eot_id|>
  // where they are control tokens. Ascending, without duplicates.
  std::span<const Token> end_tokens() const;
  bool is_end(Token token) const;
  std::optional<Token> bos() const;  // tokenizer.ggml.bos_token_id
  // Whether a text of its own (not a rendered chat, whose template brings what it needs) starts with bos().
  bool add_bos() const;

 private:
  struct Tables;
  explicit Tokenizer(std::unique_ptr<Tables> tables);

  std::unique_ptr<Tables> tables_;
};

// Turns tokens, one at a time, into valid UTF-8. A character whose bytes are spread over tokens is held back until it
// is whole. Bytes that cannot become a character turn into U+FFFD as soon as that is certain: one for each maximal
// start of a well-formed sequence, one for each other byte (Unicode's "substitution of maximal subparts").
// Control tokens have no text; user-defined ones (<think>, <tool_call>) give their names. What comes out does not
// depend on where the tokens' boundaries are.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  // The text that `token` completes; may be empty.
  std::string push(Token token);
  // The end of the answer: a character that is still incomplete becomes U+FFFD. The decoder is then as new.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  std::string held_;  // the start of a well-formed character, at most 3 bytes
};

}  // namespace smollm3
