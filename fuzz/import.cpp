// A file of conversations of any bytes. It ends in an error, or in conversations that a store can take: questions and
// answers in turn, each question answered. What is exported of them is read again as it was.
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>

#include "base/utf8.h"
#include "store/export.h"
#include "store/import.h"

namespace {

using store::Message;
using store::Role;

void require(bool holds) {
  if (!holds) std::abort();
}

void check(const store::WholeConversation& conversation) {
  require(conversation.id.empty() || conversation.id.size() == 32);
  require(conversation.title.find('\0') == std::string::npos && base::utf8::is_valid(conversation.title));
  std::set<std::int64_t> answered;
  std::int64_t before = 0;
  for (const Message& message : conversation.messages) {
    const Message* parent = conversation.find(message.parent);
    require(message.number > before && message.parent < message.number);
    require((parent == nullptr) == (message.parent == 0));
    require((message.role == Role::Assistant) == (parent != nullptr && parent->role == Role::User));
    require(conversation.answers.contains(message.number) == (message.role == Role::Assistant));
    require(message.text.find('\0') == std::string::npos && base::utf8::is_valid(message.text));
    answered.insert(message.parent);
    before = message.number;
  }
  for (const Message& message : conversation.messages) {
    require(message.role == Role::Assistant || answered.contains(message.number));
  }
  const Message* shown = conversation.find(conversation.shown);
  require(shown != nullptr && shown->role == Role::Assistant);
  require(conversation.path_to(conversation.shown).size() % 2 == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    store::read_conversations("fuzz", text, [](store::Imported one) {
      require(!one.error || !one.conversation);
      if (!one.conversation) return;
      check(*one.conversation);
      store::to_markdown(*one.conversation);
      // As whoever takes it in does.
      for (Message& message : one.conversation->messages) {
        const bool ends = message.role == Role::Assistant && message.condition == store::Condition::Whole;
        if (ends && message.ended.empty()) message.ended = "{}";
      }
      const std::string exported = store::to_json(*one.conversation);
      int count = 0;
      store::read_conversations("again", store::export_begin() + exported + std::string(store::export_end),
                                [&](const store::Imported& again) {
                                  require(again.conversation && store::to_json(*again.conversation) == exported);
                                  ++count;
                                });
      require(count == 1);
    });
  } catch (const base::Error&) {
  }
  return 0;
}
