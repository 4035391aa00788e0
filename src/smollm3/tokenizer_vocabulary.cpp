#include "smollm3/tokenizer_vocabulary.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"

namespace smollm3 {
namespace {

using base::Error;

// Of the slots for one token; the real vocabulary needs fewer than twenty.
constexpr std::size_t kMostProbes = 1000;
constexpr const char* kConvertAgain = "convert the model again or download another file";

// Files spell bytes as characters: those that print in Latin-1 as themselves, the others as U+0100 and up in order.
class ByteAlphabet {
 public:
  ByteAlphabet() {
    byte_of_.fill(-1);
    std::size_t substitute = 0x100;
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const bool prints = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
      byte_of_[prints ? byte : substitute++] = static_cast<std::int16_t>(byte);
    }
  }

  // Appends the bytes that `spelled` spells; false at a character that is not of the alphabet.
  bool append(std::string_view spelled, std::string& out) const {
    const std::size_t before = out.size();
    out.resize(before + spelled.size());
    char* to = out.data() + before;
    while (!spelled.empty()) {
      const base::utf8::Char c = base::utf8::decode(spelled);
      if (!c.valid() || c.code_point >= byte_of_.size() || byte_of_[c.code_point] < 0) return false;
      *to++ = static_cast<char>(byte_of_[c.code_point]);
      spelled.remove_prefix(c.length);
    }
    out.resize(static_cast<std::size_t>(to - out.data()));
    return true;
  }

 private:
  std::array<std::int16_t, 256 + 68> byte_of_;  // by code point; -1: not of the alphabet
};

const ByteAlphabet& alphabet() {
  static const ByteAlphabet instance;
  return instance;
}

std::uint64_t hash(std::string_view bytes) {
  constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15u;
  std::uint64_t h = bytes.size() * kFactor;
  const auto mix = [&](std::uint64_t part) {
    h = (h ^ part) * kFactor;
    h ^= h >> 29;
  };
  while (bytes.size() >= 8) {
    std::uint64_t part;
    std::memcpy(&part, bytes.data(), 8);
    mix(part);
    bytes.remove_prefix(8);
  }
  std::uint64_t rest = 0;
  for (const char c : bytes) rest = rest << 8 | static_cast<unsigned char>(c);
  mix(rest);
  return h * kFactor;
}

std::string numbered(const char* thing, std::size_t i) { return std::string(thing) + ' ' + std::to_string(i); }

}  // namespace

Vocabulary Vocabulary::load(const gguf::File& file) {
  const gguf::Array& tokens = file.array("tokenizer.ggml.tokens");
  const gguf::Array& types = file.array("tokenizer.ggml.token_type");
  if (tokens.count == 0 || tokens.count > Merges::kMostTokens) {
    throw Error(file.name(), "its vocabulary has " + std::to_string(tokens.count) + " tokens", kConvertAgain);
  }
  const std::vector<std::string_view> spelled = tokens.strings();
  if (types.count != spelled.size()) {
    throw Error(
        file.name(),
        "it has " + std::to_string(spelled.size()) + " tokens but " + std::to_string(types.count) + " token types",
        kConvertAgain);
  }

  Vocabulary vocabulary;
  vocabulary.kinds_.reserve(spelled.size());
  vocabulary.begins_.reserve(spelled.size() + 1);
  vocabulary.text_.reserve(spelled.size() * 8);
  for (std::size_t i = 0; i < spelled.size(); ++i) {
    const std::int64_t type = types.integer(i);
    if (type < 1 || type > 6) {
      throw Error(file.name(), numbered("token", i) + " has the unknown type " + std::to_string(type), kConvertAgain);
    }
    vocabulary.kinds_.push_back(TokenKind(type));
    vocabulary.begins_.push_back(static_cast<std::uint32_t>(vocabulary.text_.size()));
    if (spelled[i].empty()) throw Error(file.name(), numbered("token", i) + " is empty", kConvertAgain);
    if (vocabulary.kinds_.back() != TokenKind::Normal) {
      vocabulary.text_ += spelled[i];
    } else if (!alphabet().append(spelled[i], vocabulary.text_)) {
      throw Error(file.name(), numbered("token", i) + " is not spelled in the alphabet of bytes", kConvertAgain);
    } else {
      vocabulary.longest_ = std::max(vocabulary.longest_, vocabulary.text_.size() - vocabulary.begins_.back());
    }
    if (vocabulary.text_.size() > std::numeric_limits<std::uint32_t>::max()) {
      throw Error(file.name(), "its tokens take more than 4 GB", kConvertAgain);
    }
  }
  vocabulary.begins_.push_back(static_cast<std::uint32_t>(vocabulary.text_.size()));
  vocabulary.index(file.name());
  return vocabulary;
}

void Vocabulary::index(const std::string& file) {
  slots_.resize(std::bit_ceil(2 * size()));
  const std::size_t mask = slots_.size() - 1;
  for (Token token = 0; token < static_cast<Token>(size()); ++token) {
    if (kind(token) != TokenKind::Normal) continue;
    const std::uint64_t h = hash(bytes(token));
    const auto tag = static_cast<std::uint32_t>(h >> 32);
    std::size_t at = h & mask;
    for (std::size_t looked = 0; slots_[at].token >= 0; at = (at + 1) & mask) {
      if (++looked > kMostProbes) throw Error(file, "its tokens are made to collide", kConvertAgain);
      if (slots_[at].tag != tag || bytes(slots_[at].token) != bytes(token)) continue;
      throw Error(file,
                  "tokens " + std::to_string(slots_[at].token) + " and " + std::to_string(token) + " are the same",
                  kConvertAgain);
    }
    slots_[at] = {tag, token};
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    byte_tokens_[byte] = find({&c, 1});
    if (byte_tokens_[byte] < 0) throw Error(file, numbered("no token stands for the byte", byte), kConvertAgain);
  }
}

Token Vocabulary::find(std::string_view wanted) const {
  return wanted.size() > longest_ ? -1 : find(wanted, hash(wanted));
}

Token Vocabulary::find(std::string_view wanted, std::uint64_t h) const {
  const auto tag = static_cast<std::uint32_t>(h >> 32);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = h & mask; slots_[at].token >= 0; at = (at + 1) & mask) {
    if (slots_[at].tag == tag && bytes(slots_[at].token) == wanted) return slots_[at].token;
  }
  return -1;
}

Merges Vocabulary::load_merges(const gguf::File& file) const {
  const gguf::Array& list = file.array("tokenizer.ggml.merges");
  if (list.count > Merges::kMostMerges) throw Error(file.name(), "it has too many merges", kConvertAgain);
  const std::vector<std::string_view> spelled = list.strings();
  std::vector<std::uint32_t> lengths(size());
  for (std::size_t i = 0; i < size(); ++i) lengths[i] = begins_[i + 1] - begins_[i];
  Merges merges(spelled.size(), std::move(lengths), byte_tokens_);

  // Nearly every look-up misses the cache, so many are under way at once: each step is done for a batch of merges, and
  // asks for the memory that the next step needs.
  struct Pending {
    std::string joined;  // bytes of both parts
    std::size_t left_size;
    std::array<std::uint64_t, 3> hashes;  // of the left part, the right part, both
    std::array<Token, 3> tokens;
  };
  std::array<Pending, 32> batch;
  const auto part = [](const Pending& merge, std::size_t which) {
    const std::string_view joined = merge.joined;
    return which == 0 ? joined.substr(0, merge.left_size) : which == 1 ? joined.substr(merge.left_size) : joined;
  };
  for (std::size_t first = 0; first < spelled.size(); first += batch.size()) {
    const std::span<Pending> pending = std::span(batch).first(std::min(batch.size(), spelled.size() - first));
    const auto fail = [&](const Pending& merge, const char* why) {
      const std::size_t number = first + static_cast<std::size_t>(&merge - pending.data());
      throw Error(file.name(), numbered("merge", number) + ' ' + why, kConvertAgain);
    };
    for (Pending& merge : pending) {
      const std::string_view text = spelled[first + static_cast<std::size_t>(&merge - pending.data())];
      const std::size_t space = std::min(text.find(' '), text.size());
      merge.joined.clear();
      bool spells = alphabet().append(text.substr(0, space), merge.joined);
      merge.left_size = merge.joined.size();
      spells = spells && space < text.size() && alphabet().append(text.substr(space + 1), merge.joined);
      if (!spells) fail(merge, "is not two tokens with a space between");
      for (std::size_t which = 0; which < 3; ++which) {
        merge.hashes[which] = hash(part(merge, which));
        __builtin_prefetch(&slots_[merge.hashes[which] & (slots_.size() - 1)]);
      }
    }
    for (const Pending& merge : pending) {
      for (const std::uint64_t h : merge.hashes) {
        const Token token = slots_[h & (slots_.size() - 1)].token;
        if (token >= 0) __builtin_prefetch(text_.data() + begins_[static_cast<std::size_t>(token)]);
      }
    }
    for (Pending& merge : pending) {
      for (std::size_t which = 0; which < 3; ++which) {
        merge.tokens[which] = find(part(merge, which), merge.hashes[which]);
      }
      if (merge.tokens[0] < 0 || merge.tokens[1] < 0) fail(merge, "has a part that is not a token");
      if (merge.tokens[2] < 0) fail(merge, "makes something that is not a token");
      merges.prefetch(merge.tokens[0], merge.tokens[1]);
    }
    for (const Pending& merge : pending) {
      const Merges::Added added = merges.add(merge.tokens[0], merge.tokens[1], merge.tokens[2]);
      if (added == Merges::Added::HasRank) fail(merge, "stands there twice");
      if (added == Merges::Added::Collides) fail(merge, "is made to collide with others");
    }
  }
  merges.finish();
  return merges;
}

}  // namespace smollm3
