// The types of weights that models are tested with, alone and mixed.
#pragma once

#include <functional>
#include <ostream>
#include <string_view>
#include <vector>

#include "reference/random_model.h"

namespace reference {

struct TypeMix {
  const char* name;
  std::function<Type(std::string_view tensor)> type;
};

inline void PrintTo(const TypeMix& mix, std::ostream* out) { *out << mix.name; }

std::function<Type(std::string_view tensor)> only(Type type);

// F16 and BF16.
const std::vector<TypeMix>& float_types();
// Each type of blocks, Q4_K_M, and all types in one model.
const std::vector<TypeMix>& block_types();

// Models with those types, in three kinds of numbers: encoded ones, any valid bits, and channels that stand out. Types
// that the program does not encode have any bits only.
std::vector<RandomModel> models_of(const TypeMix& mix, std::uint32_t layers);

// Which of the three it is, as a word for messages.
const char* kind_of_numbers(const RandomModel& model);

}  // namespace reference
