#include "reference/side_by_side.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <vector>

#include "reference/ours.h"
#include "smollm3/kv_cache.h"
#include "smollm3/model.h"

namespace reference {

void advance_side_by_side(
    const RandomModel& shape, compute::DeviceKind on,
    const std::function<void(std::span<const float> alone, std::span<const float> got)>& compare) {
  using Logits = smollm3::Chunk::Logits;
  const TemporaryModel file(shape);
  const auto device = compute::make_device(on, 2).device;
  smollm3::Model model(file.file(), *device);
  smollm3::PagePool pool(*device, model.kv_shape(quant::Type::F16), 1024, std::numeric_limits<std::uint64_t>::max());

  struct User {
    std::vector<std::uint32_t> tokens;
    std::vector<smollm3::Token> ids;
    smollm3::Sequence sequence;
    std::vector<float> alone;
  };
  std::vector<User> users;
  for (const std::size_t length : {150, 3, 64, 97}) {
    const std::vector<std::uint32_t> tokens = random_tokens(length, shape.vocab, length);
    users.push_back({tokens,
                     {tokens.begin(), tokens.end()},
                     smollm3::Sequence(pool),
                     run_ours(file.file(), tokens, {.device = on, .kv = quant::Type::F16})});
  }
  const std::size_t steps[] = {1, 17, 1, 5, 40, 2};
  const Logits kinds[] = {Logits::All, Logits::Last, Logits::None};
  for (std::size_t round = 0;; ++round) {
    std::vector<smollm3::Chunk> chunks;
    std::vector<std::span<const float>> expected;  // rows, in the order of what is asked for
    for (std::size_t u = 0; u < users.size(); ++u) {
      User& user = users[u];
      const std::size_t done = user.sequence.length();
      const std::size_t count = std::min(steps[(round + u) % std::size(steps)], user.ids.size() - done);
      if (count == 0) continue;
      ASSERT_TRUE(user.sequence.reserve(count));
      const Logits kind = round == 0 ? Logits::None : kinds[(round + u) % std::size(kinds)];
      chunks.push_back({&user.sequence, std::span(user.ids).subspan(done, count), kind});
      for (std::size_t i = kind == Logits::All ? 0 : count - 1; i < count && kind != Logits::None; ++i) {
        expected.push_back(std::span(user.alone).subspan((done + i) * shape.vocab, shape.vocab));
      }
    }
    if (chunks.empty()) break;
    const std::span<const float> rows = model.logits(chunks);
    ASSERT_EQ(rows.size(), expected.size() * shape.vocab);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      SCOPED_TRACE(testing::Message() << "round " << round << ", row " << i);
      compare(expected[i], rows.subspan(i * shape.vocab, shape.vocab));
    }
  }
}

}  // namespace reference
