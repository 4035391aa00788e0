// How fast the tokenizer is, in processor time of one thread: loading, the corpus by kind of chunk, files of your own,
// and inputs made to be slow, each doubled from 256 KB to 4 MB.
//
//   tokenizer_speed VOCABULARY [FILE …]
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "smollm3/tokenizer.h"
#include "tokenizer/corpus.h"

namespace {

double milliseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

double fastest(int runs, const std::function<void()>& work) {
  double best = 1e300;
  for (int i = 0; i < runs; ++i) {
    const double start = milliseconds();
    work();
    best = std::min(best, milliseconds() - start);
  }
  return best;
}

void print_speed(const std::string& what, std::size_t bytes, double time) {
  std::printf("%-28s %9zu bytes %8.1f ms %7.1f MB/s\n", what.c_str(), bytes, time,
              static_cast<double>(bytes) / time / 1e3);
}

void measure(const smollm3::Tokenizer& tokenizer, const std::string& what, const std::vector<std::string>& texts) {
  std::size_t bytes = 0;
  for (const std::string& text : texts) bytes += text.size();
  print_speed(what, bytes, fastest(5, [&] {
                for (const std::string& text : texts) tokenizer.encode(text);
              }));
}

void measure_doubling(const smollm3::Tokenizer& tokenizer) {
  std::mt19937 random(1);
  const auto any_of = [&](std::string_view letters) { return letters[random() % letters.size()]; };
  const std::string_view alphabet = "abcdefghijklmnopqrstuvwxyz";
  // One word of which every part is a long chain of merges.
  std::string merges;
  while (merges.size() < std::size_t{1} << 22) {
    const std::string_view token = tokenizer.bytes(static_cast<smollm3::Token>(random() % 100000));
    const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    if (token.size() > 5 && std::all_of(token.begin(), token.end(), is_letter)) merges += token;
  }
  using Letter = std::function<char(std::size_t)>;
  const std::vector<std::pair<const char*, Letter>> inputs = {
      {"one letter", [](std::size_t) { return 'a'; }},
      {"one space", [](std::size_t) { return ' '; }},
      {"one newline", [](std::size_t) { return '\n'; }},
      {"one sign", [](std::size_t) { return '='; }},
      {"one digit", [](std::size_t) { return '7'; }},
      {"random bytes", [&](std::size_t) { return static_cast<char>(random()); }},
      {"random letters", [&](std::size_t) { return any_of(alphabet); }},
      {"five common letters", [&](std::size_t) { return any_of("etaoi"); }},
      {"random signs", [&](std::size_t) { return any_of("!\"#$%&()*+,-./:;<=>?@[]^_`{|}~"); }},
      {"spaces and newlines", [&](std::size_t) { return any_of(" \n"); }},
      {"long tokens, one word", [&](std::size_t i) { return merges[i]; }},
      {"alphabet", [&](std::size_t i) { return alphabet[i % 26]; }},
      {"alphabet backwards", [&](std::size_t i) { return alphabet[25 - i % 26]; }},
      {"letter, space", [](std::size_t i) { return i % 2 ? ' ' : 'a'; }},
      {"half characters", [](std::size_t) { return '\xE2'; }},
  };
  for (const auto& [name, letter] : inputs) {
    std::printf("%-28s", name);
    double before = 0;
    for (std::size_t size = std::size_t{1} << 18; size <= std::size_t{1} << 22; size *= 2) {
      std::string text(size, '\0');
      for (std::size_t i = 0; i < size; ++i) text[i] = letter(i);
      const double time = fastest(5, [&, &input = text] { tokenizer.encode(input); });
      if (before > 0) std::printf(" x%.2f", time / before);
      before = time;
      if (size == std::size_t{1} << 22) std::printf("  %.1f MB/s\n", static_cast<double>(size) / time / 1e3);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::span arguments(argv, static_cast<std::size_t>(argc));
  if (argc < 2) {
    std::fprintf(stderr, "usage: tokenizer_speed VOCABULARY [FILE …]\n");
    return 2;
  }
  try {
    const gguf::File file = gguf::File::open(arguments[1]);
    std::printf("loading: %.1f ms\n", fastest(10, [&] { smollm3::Tokenizer::load(file); }));
    const smollm3::Tokenizer tokenizer = smollm3::Tokenizer::load(file);

    for (const char* path : arguments.subspan(2)) {
      std::ifstream in(path, std::ios::binary);
      measure(tokenizer, path, {std::string{std::istreambuf_iterator<char>(in), {}}});
    }
    std::map<std::string, std::vector<std::string>> kinds;
    for (const corpus::Chunk& chunk : corpus::make_chunks(tokenizer)) {
      std::vector<std::string>& texts = kinds[chunk.name.substr(0, chunk.name.find('-'))];
      texts.insert(texts.end(), chunk.texts.begin(), chunk.texts.end());
    }
    for (const auto& [kind, texts] : kinds) measure(tokenizer, kind, texts);
    measure_doubling(tokenizer);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tokenizer_speed: %s\n", error.what());
    return 1;
  }
}
