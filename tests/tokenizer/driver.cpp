// What compare.mjs calls. Files of texts hold, again and again, a byte that says whether names of special tokens are
// recognised, a count as u32, and so many bytes; files of ids a count and so many u32.
//
//   tokenizer_driver chunks VOCABULARY TEXTS           writes the texts of all chunks; to standard output each chunk's
//                                                      name and how many texts it has
//   tokenizer_driver encode VOCABULARY PRE TEXTS IDS
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <span>
#include <string>

#include "smollm3/tokenizer.h"
#include "tokenizer/corpus.h"

namespace {

smollm3::Tokenizer load(const std::string& path, std::string_view pre) {
  const std::string bytes = corpus::read_vocabulary(path, pre);
  return smollm3::Tokenizer::load(gguf::File::parse(std::as_bytes(std::span(bytes)), path));
}

void write_count(std::ofstream& file, std::size_t count) {
  const auto value = static_cast<std::uint32_t>(count);
  file.write(reinterpret_cast<const char*>(&value), sizeof value);
}

void write_chunks(const std::string& vocabulary, const std::string& path) {
  std::ofstream file(path, std::ios::binary);
  for (const corpus::Chunk& chunk : corpus::make_chunks(load(vocabulary, "smaug-bpe"))) {
    std::printf("%s %zu\n", chunk.name.c_str(), chunk.texts.size());
    for (const std::string& text : chunk.texts) {
      file.put(chunk.special ? 1 : 0);
      write_count(file, text.size());
      file << text;
    }
  }
}

void encode(const std::string& vocabulary, const std::string& pre, const std::string& from, const std::string& to) {
  const smollm3::Tokenizer tokenizer = load(vocabulary, pre);
  std::ifstream in(from, std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(in), {}};
  std::ofstream out(to, std::ios::binary);
  for (std::size_t at = 0; at < all.size();) {
    const bool special = all[at++] != 0;
    std::uint32_t size = 0;
    std::memcpy(&size, all.data() + at, sizeof size);
    const auto ids = tokenizer.encode(std::string_view(all).substr(at + sizeof size, size), special);
    at += sizeof size + size;
    write_count(out, ids.size());
    out.write(reinterpret_cast<const char*>(ids.data()), static_cast<std::streamsize>(ids.size() * sizeof(ids[0])));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::span arguments(argv, static_cast<std::size_t>(argc));
  try {
    if (argc == 4 && std::strcmp(argv[1], "chunks") == 0) {
      write_chunks(arguments[2], arguments[3]);
    } else if (argc == 6 && std::strcmp(argv[1], "encode") == 0) {
      encode(arguments[2], arguments[3], arguments[4], arguments[5]);
    } else {
      std::fprintf(stderr, "usage: tokenizer_driver chunks|encode …\n");
      return 2;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tokenizer_driver: %s\n", error.what());
    return 1;
  }
}
