#include "cli/byte_vocabulary.h"

#include <string_view>

#include "base/utf8.h"

namespace cli {
namespace {

enum Kind : std::int32_t { Normal = 1, Control = 3, UserDefined = 4 };

std::string utf8(char32_t code) {
  std::string text;
  base::utf8::append(text, code);
  return text;
}

// GPT-2 writes a byte as the character of its code where that is printable, else as one from 256 on; in this order
// they are the first tokens of its vocabulary and of those after it.
std::vector<std::string> byte_tokens() {
  std::vector<std::string> printable;
  std::vector<std::string> others;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool own = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
    if (own)
      printable.push_back(utf8(byte));
    else
      others.push_back(utf8(256 + static_cast<unsigned>(others.size())));
  }
  printable.insert(printable.end(), others.begin(), others.end());
  return printable;
}

// A blank and five letters; no two numbers below 231,525 give the same.
std::string made_up_word(std::size_t number) {
  constexpr std::string_view vowels = "aeiou";
  constexpr std::string_view consonants = "bcdfghjklmnpqrstvwxyz";
  std::string word = utf8(256 + 32);  // the blank
  for (int letter = 0; letter < 5; ++letter) {
    const std::string_view letters = letter % 2 == 0 ? consonants : vowels;
    word += letters[number % letters.size()];
    number /= letters.size();
  }
  return word;
}

struct Special {
  std::size_t offset;
  const char* name;
  Kind kind;
};

constexpr Special specials[] = {
    {0, "<|begin_of_text|>", Control}, {1, "<|end_of_text|>", Control},           {2, "<think>", UserDefined},
    {3, "</think>", UserDefined},      {4, "<|finetune_right_pad_id|>", Control}, {11, "<|im_start|>", Control},
    {12, "<|im_end|>", Control},       {13, "<tool_response>", UserDefined},      {14, "</tool_response>", UserDefined},
    {15, "<tool_call>", UserDefined},  {16, "</tool_call>", UserDefined},         {17, "<code>", UserDefined},
    {18, "</code>", UserDefined},
};

}  // namespace

Vocabulary byte_vocabulary(std::size_t size) {
  Vocabulary vocabulary;
  vocabulary.tokens = byte_tokens();
  for (std::size_t i = 0; vocabulary.tokens.size() < size - special_tokens; ++i)
    vocabulary.tokens.push_back(made_up_word(i));
  vocabulary.kinds.assign(vocabulary.tokens.size(), Normal);
  for (std::size_t i = 0; i < special_tokens; ++i) {
    vocabulary.tokens.push_back("<|reserved_special_token_" + std::to_string(i) + "|>");
    vocabulary.kinds.push_back(Control);
  }
  name_special_tokens(vocabulary);
  return vocabulary;
}

bool name_special_tokens(Vocabulary& vocabulary) {
  if (vocabulary.tokens.size() < 2 * special_tokens) return false;
  const std::size_t first = vocabulary.tokens.size() - special_tokens;
  for (const Special& special : specials) {
    vocabulary.tokens[first + special.offset] = special.name;
    vocabulary.kinds[first + special.offset] = special.kind;
  }
  return true;
}

}  // namespace cli
