#include "store/records.h"

#include <algorithm>

#include "base/utf8.h"

namespace store {

bool is_tag(std::string_view text) {
  constexpr std::size_t most_characters = 40;
  if (text.empty() || base::utf8::count(text) > most_characters || text.front() == ' ' || text.back() == ' ') {
    return false;
  }
  return std::ranges::none_of(text, [](char byte) {
    return static_cast<unsigned char>(byte) < ' ' || byte == 0x7F || byte == '#' || byte == ',';
  });
}

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
