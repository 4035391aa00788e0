#include "server/views.h"

#include <fmt/format.h>

#include <cmath>
#include <map>

#include "base/error.h"
#include "base/utf8.h"
#include "jinja/jinja.h"
#include "server/assets.h"
#include "server/markdown.h"

namespace server {
namespace {

using nlohmann::ordered_json;

const jinja::Template* find_template(std::string_view name) {
  static const std::map<std::string, jinja::Template, std::less<>> all = [] {
    std::map<std::string, jinja::Template, std::less<>> parsed;
    for (const Asset& asset : assets()) {
      const std::string file{asset.name};
      if (file.ends_with(".jinja")) parsed.emplace(file, jinja::Template::parse(asset.content, file));
    }
    return parsed;
  }();
  const auto found = all.find(name);
  return found == all.end() ? nullptr : &found->second;
}

constexpr const char* waiting_dots = "…";  // of a page that shows nothing of the answer yet
constexpr const char* paused_status = "Paused.";

std::string thought_for(double time) {
  const auto seconds = std::max<std::int64_t>(1, std::llround(time));
  return seconds < 60 ? fmt::format("Thought for {} s", seconds)
                      : fmt::format("Thought for {} min {} s", seconds / 60, seconds % 60);
}

std::string thought_of(const Answer& answer) {
  // Of one that was interrupted nobody knows how long it took.
  return answer.interrupted ? "Thoughts" : thought_for(answer.thinking_seconds());
}

std::string speed(double tokens_per_second) {
  return tokens_per_second >= 100 ? fmt::format("{:.0f}", tokens_per_second) : fmt::format("{:.1f}", tokens_per_second);
}

std::string grouped(std::uint32_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string figures(const engine::Usage& usage) {
  if (usage.generated_tokens == 0) return {};
  const std::string tokens = usage.generated_tokens == 1 ? "1 token" : fmt::format("{} tokens", usage.generated_tokens);
  return usage.generate_speed() > 0 ? fmt::format("{} · {} tokens/s", tokens, speed(usage.generate_speed())) : tokens;
}

std::string details(const engine::Usage& usage, const ModelFacts& facts) {
  std::string text =
      fmt::format("Prompt: {} tokens, {} of them known from before", usage.prompt_tokens, usage.cached_tokens);
  if (usage.prompt_speed() > 0) text += fmt::format(", {} tokens/s", speed(usage.prompt_speed()));
  if (usage.queue_seconds >= 0.05) text += fmt::format(". Waited {:.1f} s", usage.queue_seconds);
  return text + fmt::format(". {} arithmetic on {}.", facts.mode, facts.device);
}

std::string note(const Answer& answer) {
  if (answer.interrupted) return "Interrupted.";
  switch (answer.done->finish) {
    case engine::Finish::Cancelled:
      return "Stopped.";
    case engine::Finish::Length:
      return "The context is full: the answer ends here. Start a new chat to go on.";
    case engine::Finish::Stop:
    case engine::Finish::ToolCalls:
      return answer.text.empty() ? "The model ended without an answer." : "";
    case engine::Finish::Failed:
      return {};
  }
  return {};
}

// What comes below an answer that is over.
ordered_json outcome_context(std::int64_t number, const Answer& answer, const ModelFacts& facts) {
  return {{"n", number},
          {"error", answer.failure()},
          {"note", note(answer)},
          {"figures", figures(answer.done->usage)},
          {"details", details(answer.done->usage, facts)},
          {"interrupted", answer.interrupted},
          {"text_length", answer.text.size()}};
}

// An answer that is still open is left to its stream, from the first word.
ordered_json round_context(const Round& round, const Answer& answer) {
  ordered_json context{{"n", round.number}, {"prompt", round.prompt}, {"open", answer.open()}};
  context["thinking"] = "";
  context["blocks"] = ordered_json::array();
  if (answer.open()) return context;
  context.update(outcome_context(round.number, answer, round.facts));
  context["thinking"] = answer.thinking;
  context["thought"] = thought_of(answer);
  context["blocks"] = markdown_blocks(answer.text);
  return context;
}

ordered_json list_context(const std::vector<store::ConversationHead>& list, const std::string& current) {
  ordered_json context{{"id", current}, {"most_title", most_title}, {"list", ordered_json::array()}};
  for (const store::ConversationHead& head : list) {
    context["list"].push_back({{"id", head.id},
                               {"title", head.title},
                               {"pinned", head.pinned},
                               {"archived", head.archived},
                               {"tags", head.tags}});
  }
  return context;
}

std::string place_in_queue(const engine::Progress& progress) {
  const std::uint32_t ahead = progress.ahead, wait = progress.wait_seconds;
  std::string place = ahead == 0   ? "Waiting: this answer is the next"
                      : ahead == 1 ? "Waiting: one answer comes first"
                                   : fmt::format("Waiting: {} answers come first", ahead);
  if (wait >= 120) return place + fmt::format(", in about {} minutes.", (wait + 30) / 60);
  return wait > 0 ? place + fmt::format(", in about {} s.", wait) : place + ".";
}

std::string status_of(const Answer& answer) {
  const engine::Progress& progress = answer.progress;
  if (progress.state == engine::State::Paused) return paused_status;
  // Also in mid-answer: one that others had to be given room by is begun again.
  if (progress.state == engine::State::Queued && progress.prompt_tokens > 0) return place_in_queue(progress);
  // A short prompt is read before anyone could read this.
  if (progress.state == engine::State::Reading && progress.prompt_tokens >= 256 && progress.prompt_done > 0) {
    return fmt::format("Reading… {} % of {} tokens", 100 * std::uint64_t{progress.prompt_done} / progress.prompt_tokens,
                       grouped(progress.prompt_tokens));
  }
  return answer.started() ? "" : waiting_dots;
}

void greet(ordered_json& context, const ModelFacts& facts) {
  if (is_demo(facts)) {
    context["introduction"] =
        "This is the small demo model that comes with the program. It adds and subtracts, knows a few hundred facts, "
        "plays with words and writes Markdown. Ask it how to get the real SmolLM3.";
    context["examples"] = {"What can you do?", "What is 347 + 286?",
                           "Make a table: Fruit and Amount: apple 3, pear 5, plum 8", "How do I get the real model?"};
  } else {
    context["introduction"] =
        "Ask, or hand over a text. The model thinks before it answers; switch that off for a quick reply.";
    context["examples"] = {
        "Explain how a tide comes about, in three sentences.", "Write a Python function that merges two sorted lists.",
        "Compare tea and coffee in a small table.", "Suggest three names for a bookshop by the sea."};
  }
}

}  // namespace

std::string render_template(std::string_view name, const ordered_json& context) {
  const jinja::Template* page = find_template(name);
  if (page == nullptr) throw base::Error(base::ErrorKind::Internal, name, "is not built in");
  jinja::Options options;
  options.autoescape = true;
  options.loader = find_template;
  try {
    return page->render(context, options).bytes();
  } catch (const base::Error& error) {  // the page is ours, not the client's
    throw base::Error(base::ErrorKind::Internal, error.subject(), error.why(), error.remedy());
  }
}

Response html(unsigned status, std::string body, Headers headers) {
  headers.emplace_back("Cache-Control", "no-store");
  return {.status = status,
          .content_type = "text/html; charset=utf-8",
          .body = std::move(body),
          .headers = std::move(headers)};
}

std::string chat_page(const ChatPage& page, const ModelFacts& facts) {
  ordered_json context{{"path", page.address.path()},
                       {"temporary", page.address.temporary},
                       {"last", page.last},
                       {"model", facts.name},
                       {"device", facts.device},
                       {"mode", facts.mode},
                       {"context", facts.context},
                       {"most_text", most_text},
                       {"title", page.title.empty() ? "smollm3" : page.title},
                       {"signed_in", page.signed_in}};
  context["assets"] = asset_urls();
  context["rounds"] = ordered_json::array();
  for (const Round& round : page.rounds) context["rounds"].push_back(round_context(round, round.answer));
  context.update(list_context(page.list, page.address.id));
  greet(context, facts);
  return render_template("page.jinja", context);
}

std::string sent_fragment(const Address& conversation, const Round& round,
                          const std::vector<store::ConversationHead>& list) {
  ordered_json context = list_context(list, conversation.id);
  context["path"] = conversation.path();
  // Also of one that is over already: what the page does about it, its stream says.
  context["round"] = round_context(round, Answer{});
  return render_template("sent.jinja", context);
}

std::string list_fragment(const std::vector<store::ConversationHead>& list, const std::string& current,
                          const ListKind& kind) {
  ordered_json context = list_context(list, current);
  if (kind.removed) context["removed"] = {{"id", kind.removed->id}, {"title", kind.removed->title}};
  context["tag"] = kind.listing.tag;
  context["archive"] = kind.listing.shelf == store::Listing::Shelf::Archive;
  return render_template("list.jinja", context);
}

std::string hits_fragment(const std::vector<store::Hit>& hits, const std::string& current) {
  ordered_json context{{"id", current}, {"hits", ordered_json::array()}};
  for (const store::Hit& hit : hits) {
    auto parts = ordered_json::array();
    for (const store::Snippet& part : hit.snippets) parts.push_back({{"text", part.text}, {"matches", part.matches}});
    context["hits"].push_back({{"id", hit.conversation}, {"title", hit.title}, {"parts", std::move(parts)}});
  }
  return render_template("hits.jinja", context);
}

std::string notice_fragment(std::string_view message, std::string_view link, std::string_view link_text) {
  return render_template("notice.jinja", {{"message", message}, {"link", link}, {"link_text", link_text}});
}

std::string lost_answer_fragment(std::int64_t number) {
  return fmt::format("<hx-partial hx-target=\"#a{}-status\" hx-swap=\"outerHTML\">{}</hx-partial>", number,
                     notice_fragment("This conversation was deleted.", "/", "Start a new chat."));
}

std::string error_page(unsigned status, std::string_view message) {
  return render_template("error.jinja", {{"status", status}, {"message", message}, {"assets", asset_urls()}});
}

AnswerView::AnswerView(std::int64_t number, const ModelFacts& facts, Page page, const Answer& shown)
    : number_(number), facts_(facts), unknown_(page == Page::Unknown) {
  if (page == Page::Fresh) status_ = waiting_dots;
  if (page != Page::Back) return;
  thinking_shown_ = shown.thinking.size();
  thinking_open_ = thinking_shown_ > 0;
  thought_ = thinking_open_ && (!shown.text.empty() || !shown.open());
  text_shown_ = shown.text.size();
  blocks_ = markdown_blocks(shown.text);
  over_ = !shown.open();
}

std::string AnswerView::update(const Answer& answer) {
  ordered_json context{{"n", number_}, {"replaces", unknown_}};
  bool changes = std::exchange(unknown_, false);
  const auto set = [&](const char* name, ordered_json value) {
    context[name] = std::move(value);
    changes = true;
  };
  just_thought_ = false;

  if (answer.thinking.size() > thinking_shown_) {
    if (!thinking_open_) set("opens_thinking", true);
    thinking_open_ = true;
    set("thinking", answer.thinking.substr(thinking_shown_));
    thinking_shown_ = answer.thinking.size();
  }
  if (thinking_open_ && !thought_ && (!answer.text.empty() || !answer.open())) {
    thought_ = just_thought_ = true;
    set("thought", thought_of(answer));
  }

  context["changed"] = context["added"] = context["removed"] = ordered_json::array();
  if (answer.text.size() > text_shown_) {
    std::vector<std::string> blocks = markdown_blocks(answer.text);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      if (i < blocks_.size() && blocks[i] == blocks_[i]) continue;
      context[i < blocks_.size() ? "changed" : "added"].push_back({{"i", i}, {"html", blocks[i]}});
      changes = true;
    }
    for (std::size_t i = blocks.size(); i < blocks_.size(); ++i) {
      context["removed"].push_back(i);
      changes = true;
    }
    blocks_ = std::move(blocks);
    text_shown_ = answer.text.size();
  }

  if (!answer.open()) {
    if (!over_) set("round", outcome_context(number_, answer, facts_));
    over_ = true;
  } else if (std::string status = status_of(answer); status != status_) {
    set("status", status);
    context["paused"] = status == paused_status;
    status_ = std::move(status);
  }
  return changes ? render_template("update.jinja", context) : std::string{};
}

}  // namespace server
