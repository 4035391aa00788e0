// For tests: a conversation with everything that one can have.
#pragma once

#include <array>
#include <random>
#include <string>
#include <vector>

#include "store/whole.h"

namespace store {

inline std::string random_text(std::mt19937& random) {
  static constexpr std::array pieces = {"a",  "Grüße", " ",   "\n",        "你好",   "🙂", "'",
                                        "\"", "\\",    "<b>", "{\"x\":1}", "\uFFFD", "$1",   "%s"};
  std::string text;
  for (std::size_t count = random() % 12; count > 0; --count) text += pieces[random() % pieces.size()];
  return text;
}

inline Tokens random_tokens(std::mt19937& random, bool generated) {
  Tokens tokens;
  tokens.ids.resize(random() % 200);
  tokens.generated.resize((tokens.ids.size() + 63) / 64);
  for (std::size_t i = 0; i < tokens.ids.size(); ++i) {
    tokens.ids[i] = static_cast<std::int32_t>(random() % (1 << 23));
    if (generated || random() % 4 == 0) tokens.generated[i / 64] |= std::uint64_t{1} << (i % 64);
  }
  return tokens;
}

inline std::string random_id(std::mt19937& random) {
  std::string id;
  for (int i = 0; i < 32; ++i) id += "0123456789abcdef"[random() % 16];
  return id;
}

// A tree of rounds, each after any answer before it, or after none.
inline WholeConversation random_conversation(std::mt19937& random) {
  WholeConversation one;
  one.id = random_id(random);
  one.title = random_text(random);
  one.created = static_cast<Time>(random());
  one.changed = one.created + static_cast<Time>(random() % 1000);
  one.pinned = random() % 4 == 0;
  one.archived = random() % 4 == 0;
  for (const char* tag : {"Grüße", "two words", "你好"}) {
    if (random() % 3 == 0) one.tags.emplace_back(tag);
  }
  std::vector<std::int64_t> answers{0};
  for (std::int64_t number = 1; number < 2 * static_cast<std::int64_t>(1 + random() % 12); number += 2) {
    const Time now = one.created + number;
    one.messages.push_back(
        {.number = number, .parent = answers[random() % answers.size()], .text = random_text(random), .created = now});
    Message answer{.number = number + 1,
                   .parent = number,
                   .role = Role::Assistant,
                   .condition = random() % 4 == 0 ? Condition::Interrupted : Condition::Whole,
                   .thinking = random_text(random),
                   .text = random_text(random),
                   .asked = R"({"model":"m","think":true})",
                   .created = now};
    const bool whole = answer.condition == Condition::Whole;
    if (whole) answer.ended = R"({"finish":"stop","usage":{"generated_tokens":3}})";
    one.answers[number + 1] = {.settings = R"({"seed":18446744073709551615,"temperature":0.6000000238418579})",
                               .fingerprint = {.tokenizer = random_text(random), .whole = random_text(random)},
                               .prompt = random_tokens(random, /*generated=*/false),
                               .said = random_tokens(random, /*generated=*/true),
                               .epoch = static_cast<int>(random() % 3),
                               .last_event = whole ? 0 : random(),
                               .writing_seconds = whole ? 0 : static_cast<double>(random()) / 1e6,
                               .thinking_seconds = whole ? 0 : 0.1};
    answers.push_back(number + 1);
    one.messages.push_back(std::move(answer));
  }
  one.shown = answers[1 + random() % (answers.size() - 1)];
  return one;
}

}  // namespace store
