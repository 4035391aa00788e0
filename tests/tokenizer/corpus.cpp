#include "tokenizer/corpus.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "base/utf8.h"

namespace corpus {
namespace {

using smollm3::Token;

constexpr std::size_t kChunkBytes = 64 * 1024;
constexpr int kChunksOfKind = 64;

// SplitMix64.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t n) { return next() % n; }
  bool one_in(std::size_t n) { return below(n) == 0; }
  // 1 and up; each further one with probability 1 - 1/mean.
  std::size_t length(std::size_t mean) {
    std::size_t n = 1;
    while (!one_in(mean)) ++n;
    return n;
  }

 private:
  std::uint64_t state_;
};

std::string utf8(char32_t c) {
  std::string text;
  base::utf8::append(text, c);
  return text;
}

bool is_surrogate(char32_t c) { return c >= 0xD800 && c < 0xE000; }
bool is_in_use(char32_t c) { return c < 0x33500 || (c >= 0xE0000 && c < 0xE0200); }

std::vector<std::string> characters(std::string_view text) {
  std::vector<std::string> result;
  while (!text.empty()) {
    const std::size_t length = base::utf8::decode(text).length;
    result.emplace_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return result;
}

template <typename Container>
const auto& pick(const Container& from, Random& random) {
  return from[random.below(std::size(from))];
}

std::string chunk_name(const char* kind, std::size_t number) {
  std::array<char, 32> name{};
  std::snprintf(name.data(), name.size(), "%s-%06zx", kind, number);
  return name.data();
}

void add_code_points(std::vector<Chunk>& chunks) {
  constexpr char32_t step = 4096;
  for (char32_t first = 0; first < 0x110000; first += step) {
    Chunk alone{chunk_name("alone", first), {}, false};
    Chunk between{chunk_name("between", first), {}, false};
    std::string line;
    for (char32_t c = first; c < first + step; ++c) {
      if (is_surrogate(c)) continue;
      const std::string s = utf8(c);
      alone.texts.push_back(s);
      line += "a" + s + "b ";
      if (is_in_use(c)) {
        line += s + " 1" + s + "2" + s + s + "x '" + s + "'l" + s + "'R" + s + "E." + s + "\n" + s + "  " + s + "\t";
      }
      if (line.size() > kChunkBytes / 8) between.texts.push_back(std::exchange(line, {}));
    }
    if (!line.empty()) between.texts.push_back(line);
    if (alone.texts.empty()) continue;
    chunks.push_back(std::move(alone));
    chunks.push_back(std::move(between));
  }
}

std::vector<std::string> read_samples() {
  std::ifstream file(SMOLLM3_SOURCE_DIR "/tests/tokenizer/samples.txt", std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  if (all.empty()) throw std::runtime_error("tests/tokenizer/samples.txt cannot be read");
  std::vector<std::string> samples;
  for (std::size_t begin = 0; begin < all.size();) {
    const std::size_t end = std::min(all.find("\n\n", begin), all.size());
    samples.push_back(all.substr(begin, end - begin));
    begin = end + 2;
  }
  return samples;
}

std::string sample_text(const std::vector<std::vector<std::string>>& samples, Random& random) {
  static constexpr std::array<const char*, 10> kSeparators = {"\n",     "\n\n", " ",  "",    "\r\n",
                                                              "\n\n\n", "\t",   "  ", " \n", "."};
  std::string text;
  while (text.size() < kChunkBytes) {
    const auto& sample = pick(samples, random);
    const bool whole = random.one_in(3);
    const std::size_t begin = whole ? 0 : random.below(sample.size());
    const std::size_t end = whole ? sample.size() : std::min(sample.size(), begin + random.length(40));
    const std::size_t times = random.one_in(20) ? random.length(6) : 1;
    const bool upper = random.one_in(8);
    for (std::size_t i = 0; i < times; ++i) {
      for (std::size_t at = begin; at < end; ++at) {
        std::string c = sample[at];
        if (upper && c[0] >= 'a' && c[0] <= 'z') c[0] = static_cast<char>(c[0] - 32);
        text += c;
      }
    }
    text += pick(kSeparators, random);
  }
  return text;
}

// First and last code point of the blocks of scripts, marks and signs that occur together.
constexpr std::array<std::array<char32_t, 2>, 64> kBlocks = {{
    {0x61, 0x7A},       {0x41, 0x5A},       {0xC0, 0x17F},      {0x180, 0x24F},     {0x250, 0x2AF},
    {0x370, 0x3FF},     {0x400, 0x4FF},     {0x500, 0x58F},     {0x590, 0x5FF},     {0x600, 0x6FF},
    {0x700, 0x7BF},     {0x7C0, 0x85F},     {0x860, 0x8FF},     {0x900, 0x97F},     {0x980, 0x9FF},
    {0xA00, 0xA7F},     {0xA80, 0xAFF},     {0xB00, 0xB7F},     {0xB80, 0xBFF},     {0xC00, 0xC7F},
    {0xC80, 0xCFF},     {0xD00, 0xD7F},     {0xD80, 0xDFF},     {0xE00, 0xE7F},     {0xE80, 0xEFF},
    {0xF00, 0xFFF},     {0x1000, 0x109F},   {0x10A0, 0x10FF},   {0x1100, 0x11FF},   {0x1200, 0x139F},
    {0x13A0, 0x13FF},   {0x1400, 0x167F},   {0x1680, 0x16FF},   {0x1700, 0x177F},   {0x1780, 0x17FF},
    {0x1800, 0x18AF},   {0x1900, 0x1AAF},   {0x1B00, 0x1C7F},   {0x1C80, 0x1CFF},   {0x1D00, 0x1DFF},
    {0x1E00, 0x1EFF},   {0x1F00, 0x1FFF},   {0x2000, 0x20CF},   {0x2100, 0x218F},   {0x2190, 0x23FF},
    {0x2C00, 0x2DFF},   {0x2E80, 0x303F},   {0x3040, 0x30FF},   {0x3100, 0x33FF},   {0x3400, 0x4DBF},
    {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},   {0xA4D0, 0xA7FF},   {0xA800, 0xABFF},   {0xAC00, 0xD7FF},
    {0xF900, 0xFDFF},   {0xFE00, 0xFFFD},   {0x10000, 0x103FF}, {0x10400, 0x10FFF}, {0x11000, 0x11FFF},
    {0x12000, 0x1343F}, {0x16800, 0x1B2FF}, {0x1D400, 0x1D7FF}, {0x1F000, 0x1FAFF},
}};

std::string script_text(Random& random) {
  static constexpr std::array<const char*, 12> kAfterWord = {" ",  " ", " ",   " ",  ", ",     ". ",
                                                             "\n", "-", "'s ", "! ", "\u3000", ""};
  static constexpr std::array<char32_t, 6> kJoiners = {0x200D, 0x200C, 0xFE0F, 0x301, 0x2019, 0xAD};
  std::string text;
  while (text.size() < kChunkBytes) {
    const auto& block = pick(kBlocks, random);
    for (std::size_t words = random.length(12); words > 0; --words) {
      for (std::size_t letters = random.length(5); letters > 0; --letters) {
        base::utf8::append(text, block[0] + static_cast<char32_t>(random.below(block[1] - block[0] + 1)));
        if (random.one_in(24)) base::utf8::append(text, pick(kJoiners, random));
      }
      text += pick(kAfterWord, random);
    }
  }
  return text;
}

std::string run_text(Random& random) {
  static constexpr std::array<const char*, 40> kPieces = {
      " ",      " ",      " ",      "\n",     "\n",     "\r",     "\r\n",   "\t",     "\v",     "\f",
      "\u0085", "\u00A0", "\u1680", "\u2003", "\u2028", "\u202F", "\u3000", "\u180E", "\u200B", "\uFEFF",
      "0",      "1",      "9",      "٣",      "五",     "²",      "½",      "Ⅳ",      ".",      ",",
      "-",      "=",      "#",      "'",      "\"",     "_",      "/",      "e",      "Z",      "ſ"};
  static constexpr std::array<const char*, 12> kWords = {"a",   "I'll", "'S",   "don't",  "'ve", " x",
                                                         "été", "ひ",   "🙂", "'LL'Re", "s",   "$"};
  std::string text;
  while (text.size() < kChunkBytes) {
    const char* piece = pick(kPieces, random);
    for (std::size_t n = random.length(random.one_in(12) ? 60 : 3); n > 0; --n) text += piece;
    if (random.one_in(3)) text += pick(kWords, random);
  }
  return text;
}

std::string token_text(const smollm3::Tokenizer& tokenizer, const std::vector<Token>& tokens, Random& random) {
  std::string text;
  while (text.size() < kChunkBytes) text += tokenizer.bytes(pick(tokens, random));
  return text;
}

std::string special_text(const smollm3::Tokenizer& tokenizer, const std::vector<Token>& specials, std::string text,
                         Random& random) {
  for (std::size_t n = 0; n < 400; ++n) {
    std::string_view name = tokenizer.bytes(pick(specials, random));
    if (random.one_in(4)) name = name.substr(0, 1 + random.below(name.size()));
    std::size_t at = random.below(text.size() + 1);
    while (at < text.size() && (text[at] & 0xC0) == 0x80) ++at;  // to the start of a character
    text.insert(at, name);
  }
  return text;
}

}  // namespace

std::size_t Chunk::bytes() const {
  std::size_t sum = 0;
  for (const std::string& text : texts) sum += text.size();
  return sum;
}

std::vector<Chunk> make_chunks(const smollm3::Tokenizer& tokenizer) {
  std::vector<std::vector<std::string>> samples;
  for (const std::string& sample : read_samples()) samples.push_back(characters(sample));
  std::vector<Token> tokens;
  std::vector<Token> specials;
  for (Token token = 0; token < tokenizer.vocab_size(); ++token) {
    if (tokenizer.is_special(token)) {
      specials.push_back(token);
    } else if (base::utf8::is_valid(tokenizer.bytes(token))) {
      tokens.push_back(token);
    }
  }

  std::vector<Chunk> chunks;
  add_code_points(chunks);
  for (std::size_t i = 0; i < kChunksOfKind; ++i) {
    Random random(i);
    chunks.push_back({chunk_name("sample", i), {sample_text(samples, random)}, false});
    chunks.push_back({chunk_name("scripts", i), {script_text(random)}, false});
    chunks.push_back({chunk_name("runs", i), {run_text(random)}, false});
    chunks.push_back({chunk_name("tokens", i), {token_text(tokenizer, tokens, random)}, false});
    chunks.push_back(
        {chunk_name("special", i), {special_text(tokenizer, specials, sample_text(samples, random), random)}, true});
  }
  return chunks;
}

void IdHash::add(std::uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) hash_ = (hash_ ^ ((value >> shift) & 0xFF)) * 0x100000001B3u;
}

void IdHash::add(const std::vector<Token>& ids) {
  for (const Token id : ids) add(static_cast<std::uint32_t>(id));
  add(UINT32_MAX);
}

std::string read_vocabulary(const std::string& path, std::string_view pre) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  for (const std::string_view old : {"llama-bpe", "smaug-bpe"}) {
    const std::string_view key = "tokenizer.ggml.pre";
    const std::size_t at = bytes.find(key);
    if (at == std::string::npos) break;
    const std::size_t value = at + key.size() + 4 + 8;  // after the value's type and length
    if (bytes.compare(value, old.size(), old) == 0) return bytes.replace(value, pre.size(), pre);
  }
  throw std::runtime_error(path + " has no tokenizer.ggml.pre of nine letters");
}

}  // namespace corpus
