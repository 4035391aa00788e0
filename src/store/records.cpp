#include "store/records.h"

#include <algorithm>

namespace store {

std::vector<const Message*> Conversation::path_to(std::int64_t number) const {
  std::vector<const Message*> path;
  for (const Message* message = find(number); message != nullptr; message = find(message->parent)) {
    path.push_back(message);
  }
  std::ranges::reverse(path);
  return path;
}

const Message* Conversation::find(std::int64_t number) const {
  const auto found = std::ranges::lower_bound(messages, number, {}, &Message::number);
  return found != messages.end() && found->number == number ? &*found : nullptr;
}

}  // namespace store
