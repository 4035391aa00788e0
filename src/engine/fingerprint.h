// What an answer that was recorded can be gone on with by: an engine of the same fingerprint says what the one that
// began it would have said.
#pragma once

#include <cstdint>
#include <string>

#include "compute/compute.h"
#include "engine/loaded_model.h"
#include "quant/type.h"

namespace engine {

// Of the arithmetic (docs/numerics.md) and of all that makes tokens of it, from the rules of sampling to when a thought
// is closed. To be raised whenever the same model, tokens and seed give other bytes than before.
inline constexpr std::uint32_t numerics_version = 1;

// Hashes, in hexadecimal digits.
struct Fingerprint {
  std::string tokenizer;  // of what decides which text a token is, and which tokens a text
  // Of that and of all else that decides an answer's bytes, given its request: but for the context, since how long an
  // answer may become is part of the request (Limits::room). Of weights 12 KiB of each tensor are looked at, so that it
  // takes no time: enough to tell files apart that were made otherwise, not one with a bit that fell over.
  std::string whole;

  bool operator==(const Fingerprint&) const = default;
};

// `prompts`: how prompts are computed; `kv`: the type of keys and values.
Fingerprint fingerprint_of(const LoadedModel& loaded, compute::Precision prompts, quant::Type kv);

}  // namespace engine
