#include "cli/tokenize.h"

#include <fmt/format.h>

#include <memory>

#include "base/error.h"
#include "cli/format.h"
#include "cli/input.h"
#include "cli/model_choice.h"
#include "cli/output.h"
#include "smollm3/tokenizer.h"

namespace cli {
namespace {

struct TokenizeOptions {
  bool special = false;
  bool json = false;
};

struct DetokenizeOptions {
  std::vector<std::string> tokens;
  bool json = false;
};

int tokenize(const TokenizeOptions& options, const Globals& globals) {
  const gguf::File file = open_model(globals);
  const auto tokenizer = smollm3::Tokenizer::load(file);
  const std::vector<smollm3::Token> tokens = tokenizer.encode(read_standard_input(), options.special);
  announce_model(globals, file);
  standard_output().write(options.json ? fmt::format("[{}]\n", fmt::join(tokens, ","))
                                       : fmt::format("{}\n", fmt::join(tokens, " ")));
  return 0;
}

int detokenize(const DetokenizeOptions& options, const Globals& globals) {
  const gguf::File file = open_model(globals);
  const auto tokenizer = smollm3::Tokenizer::load(file);
  const std::vector<smollm3::Token> tokens =
      parse_tokens(options.tokens.empty() ? read_standard_input() : fmt::format("{}", fmt::join(options.tokens, " ")));
  for (const smollm3::Token token : tokens) {
    if (tokenizer.is_valid(token)) continue;
    throw base::Error("token ids", fmt::format("the vocabulary has no token {}", token),
                      fmt::format("use ids below {}", tokenizer.vocab_size()));
  }
  announce_model(globals, file);
  const std::string text = tokenizer.decode(tokens, true);
  if (!options.json) {
    standard_output().write(text);
    return 0;
  }
  std::string json;
  append_json_string(json, text);
  standard_output().write(json + "\n");
  return 0;
}

}  // namespace

void add_tokenize(CommandLine& line) {
  auto options = std::make_shared<TokenizeOptions>();
  const Globals& globals = line.globals();
  Command command = line.add("Text and tokens", "tokenize", "Turn text from standard input into token ids",
                             [options, &globals] { return tokenize(*options, globals); });
  command.flag("--special", "Take names of special tokens, such as <|im_start|>, as these tokens", options->special);
  command.flag("--json", "An array instead of a line of numbers", options->json);
  command.notes(
      "Nothing is added: no token at the beginning, and a line break at the end of the text counts.\n"
      "\n"
      "Example:\n"
      "  printf 'Hello, world' | smollm3 tokenize");
}

void add_detokenize(CommandLine& line) {
  auto options = std::make_shared<DetokenizeOptions>();
  const Globals& globals = line.globals();
  Command command = line.add("Text and tokens", "detokenize", "Turn token ids back into text, byte for byte",
                             [options, &globals] { return detokenize(*options, globals); });
  command.arguments("IDS", "Token ids; without any, standard input", options->tokens);
  command.flag("--json", "A JSON string instead of bare bytes; bytes that are not UTF-8 become U+FFFD", options->json);
  command.notes(
      "Special tokens give their names. Ids are separated by blanks, commas or line breaks, in brackets or\n"
      "not.\n"
      "\n"
      "Example:\n"
      "  smollm3 tokenize --special <prompt.txt | smollm3 detokenize | cmp - prompt.txt");
}

}  // namespace cli
