// A conversation is rendered and tokenised anew for each turn, and text that the model generated need not become the
// tokens again that it generated. What was computed for these is found again if the prompt has them in their place.
#pragma once

#include <span>

#include "engine/transcript.h"
#include "smollm3/tokenizer.h"

namespace engine {

// `prompt`, with the tokens of `before` in place of those that stand for the same text, as far as the two texts are the
// same from their beginning and both have a token's edge there. Special tokens are the same only as themselves, never
// as text that reads like their names. Salted as `before`.
Transcript splice(const Transcript& before, std::span<const Token> prompt, const smollm3::Tokenizer& tokenizer);

}  // namespace engine
