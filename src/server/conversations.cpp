#include "server/conversations.h"

#include <algorithm>

#include "server/http_text.h"

namespace server {

std::size_t Conversation::bytes() const {
  std::size_t sum = sizeof(Conversation);
  for (const Round& round : rounds) sum += sizeof(Round) + round.prompt.size() + round.journal().bytes();
  if (last_transcript) sum += last_transcript->size() * sizeof(engine::Token);
  if (!rounds.empty()) {  // and the tokens that its generation has, or will leave
    const engine::Progress progress = rounds.back().journal().progress();
    sum += (std::size_t{progress.prompt_tokens} + progress.generated_tokens) * sizeof(engine::Token);
  }
  return sum;
}

std::shared_ptr<const engine::Transcript> Conversation::transcript() {
  for (auto round = rounds.rbegin(); round != rounds.rend(); ++round) {
    auto newer = round->generation->take_transcript();
    if (!newer) continue;
    last_transcript = std::move(newer);
    break;
  }
  return last_transcript;
}

nlohmann::ordered_json Conversation::messages(const std::string& prompt) const {
  auto list = nlohmann::ordered_json::array();
  for (const Round& round : rounds) {
    Answer answer = answer_of(round.journal());
    if (answer.failed()) continue;
    list.push_back({{"role", "user"}, {"content", round.prompt}});
    list.push_back({{"role", "assistant"}, {"content", std::move(answer.text)}});
  }
  list.push_back({{"role", "user"}, {"content", prompt}});
  return list;
}

bool Conversations::is_id(std::string_view text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string Conversations::new_id() { return random_hex(16); }

std::shared_ptr<Conversation> Conversations::find(const std::string& id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return nullptr;
  const auto entry = found->second;
  if (std::chrono::steady_clock::now() - (*entry)->used > limits_.age && !(*entry)->answering()) {
    recent_.erase(entry);
    by_id_.erase(found);
    return nullptr;
  }
  recent_.splice(recent_.begin(), recent_, entry);
  (*entry)->used = std::chrono::steady_clock::now();
  return *entry;
}

std::shared_ptr<Conversation> Conversations::open(const std::string& id) {
  if (auto found = find(id)) {
    make_room(0);
    return found;
  }
  make_room(1);
  auto conversation = std::make_shared<Conversation>();
  conversation->id = id;
  conversation->used = std::chrono::steady_clock::now();
  recent_.push_front(conversation);
  by_id_[id] = recent_.begin();
  return conversation;
}

void Conversations::make_room(std::size_t coming) {
  std::size_t bytes = 0;
  for (const auto& conversation : recent_) bytes += conversation->bytes();
  const auto oldest_kept = std::chrono::steady_clock::now() - limits_.age;
  for (auto entry = recent_.end(); entry != recent_.begin();) {
    --entry;
    if (coming == 0 && entry == recent_.begin()) break;  // the one in use
    const Conversation& conversation = **entry;
    const bool too_much = recent_.size() + coming > limits_.count || bytes > limits_.bytes;
    if (!too_much && conversation.used >= oldest_kept) break;  // those before it were used later
    // A paused answer waits for as long as there is room.
    if (conversation.answering() && !(conversation.paused() && too_much)) continue;
    if (conversation.answering()) conversation.rounds.back().generation->cancel();
    bytes -= std::min(bytes, conversation.bytes());
    by_id_.erase(conversation.id);
    entry = recent_.erase(entry);
  }
}

}  // namespace server
