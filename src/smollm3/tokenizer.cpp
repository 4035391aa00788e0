#include "smollm3/tokenizer.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "smollm3/tokenizer_merges.h"
#include "smollm3/tokenizer_specials.h"
#include "smollm3/tokenizer_vocabulary.h"
#include "smollm3/tokenizer_words.h"

namespace smollm3 {
namespace {

using base::Error;

std::optional<Token> token_id(const gguf::File& file, const char* key, std::size_t vocab_size) {
  if (!file.find(key)) return std::nullopt;
  const std::uint64_t id = file.integer(key);
  if (id >= vocab_size) {
    throw Error(file.name(),
                std::string(key) + " is " + std::to_string(id) + ", but there are only " + std::to_string(vocab_size) +
                    " tokens",
                "convert the model again");
  }
  return static_cast<Token>(id);
}

// Whether `pre` takes words that are tokens without merging, and puts a BOS in front if the file does not say.
bool is_llama_bpe(const gguf::File& file) {
  const std::string_view model = file.string("tokenizer.ggml.model");
  if (model != "gpt2") {
    throw Error(file.name(), "its tokenizer is of model '" + std::string(model) + "', not gpt2",
                "SmolLM3's files have gpt2: is this another model's file?");
  }
  const std::string_view pre = file.string("tokenizer.ggml.pre");
  if (pre != "llama-bpe" && pre != "smaug-bpe") {
    throw Error(file.name(), "its tokenizer splits text by '" + std::string(pre) + "'",
                "SmolLM3's files have smaug-bpe or llama-bpe: is this another model's file?");
  }
  return pre == "llama-bpe";
}

}  // namespace

struct Tokenizer::Tables {
  // Whether a token is what the merges make of its own bytes.
  enum class Whole : std::uint8_t { Unknown, Yes, No };

  bool whole_words;  // a word that is a token is taken without merging
  Vocabulary vocabulary;
  Merges merges;
  SpecialNames names;
  bool add_bos;
  std::optional<Token> bos;
  std::optional<Token> eos;
  std::vector<Token> ends;
  // Found out when a token is first met; most words are tokens, so most words are never merged.
  mutable std::vector<std::atomic<Whole>> whole;

  explicit Tables(const gguf::File& file);

  void encode_word(std::string_view word, Merges::Scratch& scratch, std::vector<Token>& out) const;
  void encode_plain(std::string_view text, Merges::Scratch& scratch, std::vector<Token>& out) const;
  std::vector<Token> encode(std::string_view text, const std::vector<SpecialMatch>& matches) const;
  Token checked(Token token) const;
};

Tokenizer::Tables::Tables(const gguf::File& file)
    : whole_words(is_llama_bpe(file)),
      vocabulary(Vocabulary::load(file)),
      merges(vocabulary.load_merges(file)),
      names(vocabulary, file.name()),
      add_bos(file.boolean("tokenizer.ggml.add_bos_token", whole_words)),
      bos(token_id(file, "tokenizer.ggml.bos_token_id", vocabulary.size())),
      eos(token_id(file, "tokenizer.ggml.eos_token_id", vocabulary.size())),
      whole(vocabulary.size()) {
  if (add_bos && !bos) {
    throw Error(file.name(), "its texts start with a BOS token, but tokenizer.ggml.bos_token_id is missing",
                "convert the model again");
  }
  for (const auto& end : {eos, token_id(file, "tokenizer.ggml.eot_token_id", vocabulary.size())}) {
    if (end) ends.push_back(*end);
  }
  for (const char* name : {"<|im_end|>", "<|end_of_text|>", "<|endoftext|>", "<|eot_id|>"}) {
    const Token token = names.find(name);
    if (token >= 0 && vocabulary.kind(token) == TokenKind::Control) ends.push_back(token);
  }
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
}

void Tokenizer::Tables::encode_word(std::string_view word, Merges::Scratch& scratch, std::vector<Token>& out) const {
  const Token token = vocabulary.find(word);
  if (token < 0) return merges.apply(word, scratch, out);
  if (whole_words) return out.push_back(token);

  std::atomic<Whole>& known = whole[static_cast<std::size_t>(token)];
  switch (known.load(std::memory_order_relaxed)) {
    case Whole::Yes:
      return out.push_back(token);
    case Whole::No:
      return merges.apply(word, scratch, out);
    case Whole::Unknown:
      break;
  }
  const std::size_t before = out.size();
  merges.apply(word, scratch, out);
  known.store(out.size() == before + 1 ? Whole::Yes : Whole::No, std::memory_order_relaxed);
}

void Tokenizer::Tables::encode_plain(std::string_view text, Merges::Scratch& scratch, std::vector<Token>& out) const {
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = word_end(text, begin);
    encode_word(text.substr(begin, end - begin), scratch, out);
    begin = end;
  }
}

std::vector<Token> Tokenizer::Tables::encode(std::string_view text, const std::vector<SpecialMatch>& matches) const {
  std::vector<Token> out;
  out.reserve(text.size() / 4 + 8);
  Merges::Scratch scratch;
  std::size_t begin = 0;
  for (const SpecialMatch& match : matches) {
    encode_plain(text.substr(begin, match.begin - begin), scratch, out);
    out.push_back(match.token);
    begin = match.end;
  }
  encode_plain(text.substr(begin), scratch, out);
  return out;
}

Token Tokenizer::Tables::checked(Token token) const {
  if (token >= 0 && static_cast<std::size_t>(token) < vocabulary.size()) return token;
  throw Error("token " + std::to_string(token), "the vocabulary has " + std::to_string(vocabulary.size()) + " tokens",
              "give ids from 0 to " + std::to_string(vocabulary.size() - 1));
}

Tokenizer::Tokenizer(std::unique_ptr<Tables> tables) : tables_(std::move(tables)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Tokenizer Tokenizer::load(const gguf::File& file) { return Tokenizer(std::make_unique<Tables>(file)); }

std::vector<Token> Tokenizer::encode(std::string_view text, bool special) const {
  std::vector<SpecialMatch> matches;
  if (special) tables_->names.match(text, 0, text.size(), matches);
  return tables_->encode(text, matches);
}

std::vector<Token> Tokenizer::encode(std::span<const Fragment> fragments) const {
  std::string text;
  std::vector<SpecialMatch> matches;
  std::size_t special_begin = 0;  // of the special fragments that end the text so far
  for (std::size_t i = 0; i < fragments.size(); ++i) {
    text += fragments[i].text;
    if (!fragments[i].special) {
      special_begin = text.size();
    } else if (i + 1 == fragments.size() || !fragments[i + 1].special) {
      tables_->names.match(text, special_begin, text.size(), matches);
    }
  }
  return tables_->encode(text, matches);
}

std::string_view Tokenizer::bytes(Token token) const { return tables_->vocabulary.bytes(tables_->checked(token)); }

std::string Tokenizer::decode(std::span<const Token> tokens, bool special) const {
  std::string text;
  for (const Token token : tokens) {
    if (special || !is_control(token)) text += bytes(token);
  }
  return text;
}

std::optional<Token> Tokenizer::find(std::string_view name) const {
  const Token token = tables_->names.find(name);
  return token < 0 ? std::nullopt : std::optional(token);
}

std::int32_t Tokenizer::vocab_size() const { return static_cast<std::int32_t>(tables_->vocabulary.size()); }

bool Tokenizer::is_control(Token token) const {
  const TokenKind kind = tables_->vocabulary.kind(tables_->checked(token));
  return kind != TokenKind::Normal && kind != TokenKind::UserDefined;
}

bool Tokenizer::is_special(Token token) const {
  return tables_->vocabulary.kind(tables_->checked(token)) != TokenKind::Normal;
}

std::span<const Token> Tokenizer::end_tokens() const { return tables_->ends; }
bool Tokenizer::is_end(Token token) const {
  return std::binary_search(tables_->ends.begin(), tables_->ends.end(), token);
}
std::optional<Token> Tokenizer::bos() const { return tables_->bos; }
bool Tokenizer::add_bos() const { return tables_->add_bos; }

std::string StreamDecoder::push(Token token) {
  if (tokenizer_->is_control(token)) return {};
  held_ += tokenizer_->bytes(token);
  return base::utf8::take_certain(held_);
}

std::string StreamDecoder::finish() {
  const bool incomplete = !held_.empty();
  held_.clear();
  return std::string(incomplete ? base::utf8::replacement : "");
}

}  // namespace smollm3
