// The program's logits beside those that llama.cpp and Hugging Face's transformers gave for the same files: oracles
// from elsewhere. F32 weights, keys and values, so that only the rounding of floats separates them.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "reference/golden.h"
#include "reference/ours.h"
#include "reference/reference.h"

namespace reference {
namespace {

// Of the range of a position's logits. Our bits are the same on every machine, so the difference is too: 2.6e-6.
constexpr double bound = 1e-5;

struct Golden {
  std::string fingerprint;
  Rows logits;
};

// For each model a line of its name and its file's fingerprint, then its logits; lines of # are for people.
Golden read_golden(const GoldenModel& wanted) {
  const std::string name = std::string("golden_") + wanted.peer + ".txt";
  std::ifstream in(SMOLLM3_SOURCE_DIR "/tests/reference/" + name);
  std::stringstream rest;
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with('#')) rest << line << '\n';
  }
  for (const GoldenModel& model : golden_models()) {
    if (std::string_view(model.peer) != wanted.peer) continue;
    std::string found;
    Golden golden{.fingerprint = {}, .logits = Rows(golden_positions().size(), model.shape.vocab)};
    rest >> found >> golden.fingerprint;
    for (double& logit : golden.logits.data) rest >> logit;
    if (!rest || found != model.name) throw std::runtime_error(name + " does not hold the model " + model.name);
    if (found == wanted.name) return golden;
  }
  throw std::runtime_error("no such model");
}

// The rows of the golden positions.
template <typename Number>
std::vector<float> kept(std::span<const Number> logits, std::size_t vocab) {
  std::vector<float> rows;
  for (const std::size_t position : golden_positions()) {
    const auto row = logits.subspan(position * vocab, vocab);
    rows.insert(rows.end(), row.begin(), row.end());
  }
  return rows;
}

class GoldenLogits : public testing::TestWithParam<GoldenModel> {
 protected:
  const TemporaryModel model_{GetParam().shape};
  const std::vector<std::uint32_t> tokens_ = golden_tokens(GetParam());
  const Golden golden_ = read_golden(GetParam());

  double worst(std::span<const float> logits) const {
    return distance(golden_.logits, kept(logits, GetParam().shape.vocab)).worst_of_range;
  }
  double worst_of_reference(const Faults& faults) const {
    const Rows rows = logits(model_.file(), tokens_, {.faults = faults});
    return distance(golden_.logits, kept(std::span(rows.data), rows.cols)).worst_of_range;
  }
};

TEST_P(GoldenLogits, AreOurs) {
  ASSERT_EQ(fingerprint(model_.path()), golden_.fingerprint)
      << "random_model.cpp no longer writes the file that the logits were made from: restore it, or make them anew "
         "with tests/peers/golden.py or transformers_golden.py";
  const double ours = worst(run_ours(model_.file(), tokens_));
  RecordProperty("ours", testing::PrintToString(ours));
  EXPECT_LT(ours, bound);
}

TEST_P(GoldenLogits, AreNotThoseOfAFault) {
  const double sound = worst_of_reference({});
  RecordProperty("sound", testing::PrintToString(sound));
  ASSERT_LT(sound, bound);
  std::vector<std::pair<const char*, Faults>> faults = {
      {"rope_on_the_nope_layers", {.rope_on_nope_layers = true}},
      {"nope_on_layers_0_and_4", {.nope_on_first_of_four = true}},
      {"rope_pairs_as_halves", {.rope_pairs_as_halves = true}},
      {"first_layer_skipped", {.skipped_layer = 0}},
      {"nope_layer_skipped", {.skipped_layer = 3}},
      {"last_layer_skipped", {.skipped_layer = GetParam().shape.layers - 1}},
  };
  if (GetParam().shape.kv_heads != GetParam().shape.heads) {
    faults.push_back({"heads_of_the_wrong_group", {.kv_heads_interleaved = true}});
  }
  if (GetParam().shape.yarn_factor != 1) {
    faults.push_back({"yarn_ignored", {.yarn_ignored = true}});
    faults.push_back({"yarn_without_magnitude", {.yarn_without_magnitude = true}});
    faults.push_back({"yarn_without_stretch", {.yarn_without_stretch = true}});
    faults.push_back({"yarn_bounds_unrounded", {.yarn_bounds_unrounded = true}});
  }
  for (const auto& [name, fault] : faults) {
    const double with_fault = worst_of_reference(fault);
    RecordProperty(name, testing::PrintToString(with_fault));
    EXPECT_GT(with_fault, 100 * bound) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenLogits, testing::ValuesIn(golden_models().begin(), golden_models().end()),
                         [](const auto& model) { return std::string(model.param.peer) + "_" + model.param.name; });

}  // namespace
}  // namespace reference
