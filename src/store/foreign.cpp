#include "store/foreign.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "store/names.h"

namespace store {
namespace {

constexpr std::size_t nothing = std::numeric_limits<std::size_t>::max();
constexpr std::size_t most_title = 200;  // bytes

void append(std::string& text, const std::string& more) {
  if (!text.empty() && !more.empty()) text += "\n\n";
  text += more;
}

// Of a title as it was given, or of what was asked first.
std::string title_from(std::string_view given) {
  const std::size_t begin = std::min(given.find_first_not_of(" \t\r\n"), given.size());
  std::string_view line = given.substr(begin, given.find_first_of("\r\n", begin) - begin);
  const bool whole = begin + line.size() == given.size();
  const std::size_t kept = base::utf8::cut(line, most_title);
  return std::string(line.substr(0, kept)) + (whole && kept == line.size() ? "" : "…");
}

class Tree {
 public:
  explicit Tree(const ForeignConversation& foreign) : foreign_(foreign), all_(foreign.messages) {
    if (all_.size() > most_messages) {
      throw base::Error("it", "has more than " + std::to_string(most_messages) + " messages");
    }
    link();
    walk();
  }

  std::optional<WholeConversation> conversation() {
    for (const std::size_t i : order_) {
      if (all_[i].role) place(i);
    }
    if (out_.messages.empty()) return std::nullopt;
    out_.shown = shown();
    answer_all();
    out_.shown = std::max(out_.shown, answer_to(out_.shown));
    describe();
    return std::move(out_);
  }

 private:
  std::size_t find(const std::string& id) const {
    const auto found = by_id_.find(id);
    return found != by_id_.end() ? found->second : nothing;
  }

  // What follows what. A message whose parent is not there is a first one.
  void link() {
    for (std::size_t i = 0; i < all_.size(); ++i) by_id_.emplace(all_[i].id, i);
    next_.resize(all_.size());
    std::vector<bool> linked(all_.size());
    const auto put = [&](std::size_t i, std::size_t parent) {
      (parent != nothing ? next_[parent] : first_).push_back(i);
      linked[i] = true;
    };
    for (std::size_t i = 0; i < all_.size(); ++i) {
      for (const std::string& id : all_[i].children) {
        const std::size_t child = find(id);
        if (child != nothing && !linked[child] && find(all_[child].parent) == i) put(child, i);
      }
    }
    for (std::size_t i = 0; i < all_.size(); ++i) {
      if (!linked[i]) put(i, find(all_[i].parent));
    }
    std::ranges::stable_sort(first_, {}, [&](std::size_t i) { return all_[i].created; });
  }

  // The order in which a reader would come by them, each branch to its end, and what each follows of those that stay.
  void walk() {
    above_.assign(all_.size(), nothing);
    followers_.resize(all_.size());
    std::vector<std::size_t> ahead(first_.rbegin(), first_.rend());
    while (!ahead.empty()) {
      const std::size_t i = ahead.back();
      ahead.pop_back();
      order_.push_back(i);
      if (all_[i].role && above_[i] != nothing) ++followers_[above_[i]];
      for (auto child = next_[i].rbegin(); child != next_[i].rend(); ++child) {
        above_[*child] = all_[i].role ? i : above_[i];
        ahead.push_back(*child);
      }
    }
    if (order_.size() == all_.size()) return;
    std::vector<bool> seen(all_.size());
    for (const std::size_t i : order_) seen[i] = true;
    const auto lost = static_cast<std::size_t>(std::ranges::find(seen, false) - seen.begin());
    throw base::Error("message '" + all_[lost].id + "'", "follows itself");
  }

  Message& message_of(std::size_t i) { return out_.messages[static_cast<std::size_t>(number_[i]) - 1]; }

  std::int64_t add(Message message) {
    bytes_ += message.thinking.size() + message.text.size();
    if (bytes_ > most_text)
      throw base::Error("it", "has more than " + std::to_string(most_text >> 20) + " MiB of text");
    message.number = static_cast<std::int64_t>(out_.messages.size()) + 1;
    if (message.role == Role::Assistant) out_.answers.emplace(message.number, AnswerRecord{});
    out_.messages.push_back(std::move(message));
    return out_.messages.back().number;
  }

  void place(std::size_t i) {
    const ForeignMessage& given = all_[i];
    const std::size_t above = above_[i];
    number_.resize(all_.size());
    Message message{.role = *given.role,
                    .thinking = storable(given.thinking),
                    .text = storable(given.text),
                    .created = given.created != 0 ? given.created : time_above(above)};
    if (above == nothing) {
      if (message.role == Role::Assistant) message.parent = add({.created = message.created});
    } else if (all_[above].role != given.role) {
      message.parent = number_[above];
    } else if (followers_[above] == 1) {
      Message& before = message_of(above);
      bytes_ += message.thinking.size() + message.text.size();
      append(before.thinking, message.thinking);
      append(before.text, message.text);
      number_[i] = before.number;
      return;
    } else {
      const Message& before = message_of(above);
      message.parent = before.parent;
      message.thinking = before.thinking;
      message.text = before.text;
      append(message.thinking, storable(given.thinking));
      append(message.text, storable(given.text));
    }
    number_[i] = add(std::move(message));
  }

  Time time_above(std::size_t above) { return above != nothing ? message_of(above).created : foreign_.created; }

  std::int64_t shown() const {
    std::size_t i = find(foreign_.current);
    if (i != nothing && !all_[i].role) i = above_[i];
    if (i != nothing) return number_[i];
    const auto last =
        std::ranges::find_if(order_.rbegin(), order_.rend(), [&](std::size_t at) { return all_[at].role.has_value(); });
    return number_[*last];
  }

  // The last one; 0 if there is none.
  std::int64_t answer_to(std::int64_t question) const {
    std::int64_t last = 0;
    for (const Message& message : out_.messages) {
      if (message.parent == question && message.role == Role::Assistant) last = message.number;
    }
    return last;
  }

  void answer_all() {
    const std::size_t count = out_.messages.size();
    std::vector<bool> answered(count + 1);
    for (const Message& message : out_.messages) answered[static_cast<std::size_t>(message.parent)] = true;
    for (std::size_t i = 0; i < count; ++i) {
      const Message& message = out_.messages[i];
      if (message.role == Role::User && !answered[i + 1]) {
        add({.parent = message.number, .role = Role::Assistant, .created = message.created});
      }
    }
  }

  void describe() {
    out_.id = foreign_.id;
    out_.pinned = foreign_.pinned;
    out_.title = title_from(storable(foreign_.title));
    const auto [first, last] = std::ranges::minmax(out_.messages, {}, &Message::created);
    out_.created = foreign_.created != 0 ? foreign_.created : first.created;
    out_.changed = foreign_.changed != 0 ? foreign_.changed : last.created;
    for (const Message& message : out_.messages) {
      if (!out_.title.empty()) return;
      if (message.role == Role::User) out_.title = title_from(message.text);
    }
    if (out_.title.empty()) out_.title = "Untitled";
  }

  const ForeignConversation& foreign_;
  const std::vector<ForeignMessage>& all_;
  std::unordered_map<std::string_view, std::size_t> by_id_;
  std::vector<std::size_t> first_;              // those that follow nothing
  std::vector<std::vector<std::size_t>> next_;  // of each, what follows it
  std::vector<std::size_t> order_;
  std::vector<std::size_t> above_;      // of each, the one that it follows of those that stay
  std::vector<std::size_t> followers_;  // of each, how many of those that stay follow it
  std::vector<std::int64_t> number_;    // of each, that of the message which has its text
  WholeConversation out_;
  std::size_t bytes_ = 0;
};

}  // namespace

std::vector<std::string> children_in(const Fields& message, const char* name) {
  std::vector<std::string> children;
  for (const nlohmann::json& child : message.array(name)) {
    if (!child.is_string()) message.fail("has a child that is no id");
    children.push_back(child.get<std::string>());
  }
  return children;
}

std::optional<WholeConversation> tree_of(const ForeignConversation& foreign) { return Tree(foreign).conversation(); }

}  // namespace store
