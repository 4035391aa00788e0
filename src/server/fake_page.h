// For tests: what a browser makes of the stream that follows an answer.
#pragma once

#include <map>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

namespace server {

// The place of one answer in a page, as chat_page() and sent_fragment() make it. Throws std::runtime_error where a
// fragment is for a place that the page does not have.
class FakePage {
 public:
  // What a stream sent, in whole events.
  void take(const std::string& stream) {
    std::size_t begin = 0;
    for (std::size_t end; (end = stream.find("\n\n", begin)) != std::string::npos; begin = end + 2) {
      take_event(stream.substr(begin, end - begin));
    }
    if (begin != stream.size()) throw std::runtime_error("half an event: " + stream.substr(begin));
  }
  void take_fragment(const std::string& html) {
    static const std::regex partial(
        R"re(<hx-partial hx-target="#a\d+-(\w+)" hx-swap="(\w+)">([\s\S]*?)</hx-partial>)re");
    for (std::sregex_iterator it(html.begin(), html.end(), partial), end; it != end; ++it) {
      apply((*it)[1], (*it)[2], (*it)[3]);
    }
  }

  // All that is seen, the same for the same page.
  std::string shown() const {
    std::string all = "thinking: " + thinking + "\nthought: " + thought + "\n";
    for (const auto& [i, html] : blocks) all += std::to_string(i) + ": " + html + "\n";
    return all + "status: " + status + "\noutcome: " + outcome;
  }

  std::string last_id;
  std::vector<std::string> events;    // by name
  std::vector<std::string> statuses;  // in order
  std::size_t messages = 0;
  std::string thinking, thought, status = "…", outcome;
  std::map<int, std::string> blocks;

 private:
  void take_event(const std::string& event) {
    std::string data, name, id;
    bool has_data = false;
    for (std::size_t begin = 0; begin < event.size();) {
      const std::size_t end = std::min(event.find('\n', begin), event.size());
      const std::string line = event.substr(begin, end - begin);
      begin = end + 1;
      if (line.starts_with("data: ")) {
        if (has_data) data += '\n';
        data += line.substr(6);
        has_data = true;
      } else if (line.starts_with("event: ")) {
        name = line.substr(7);
      } else if (line.starts_with("id: ")) {
        last_id = line.substr(4);
      }
    }
    if (!name.empty()) {
      events.push_back(name);
    } else if (has_data) {
      ++messages;
      take_fragment(data);
    }
  }

  void apply(const std::string& target, const std::string& how, const std::string& html) {
    static const std::regex block(R"re(^<div class="block" id="a\d+-b(\d+)">([\s\S]*)</div>$)re");
    static const std::regex details(
        R"re(<details[^>]*><summary[^>]*>([\s\S]*)</summary><div[^>]*>([\s\S]*)</div></details>)re");
    std::smatch found;
    if (target == "text" && how == "innerHTML" && html.empty()) {
      blocks.clear();
    } else if (target == "text" && how == "beforeend" && std::regex_match(html, found, block)) {
      blocks[std::stoi(found[1])] = found[2];
    } else if (target[0] == 'b' && how == "innerMorph") {
      blocks.at(std::stoi(target.substr(1))) = html;
    } else if (target[0] == 'b' && how == "delete") {
      blocks.erase(std::stoi(target.substr(1)));
    } else if (target == "thinking" && std::regex_search(html, found, details)) {
      thought = found[1];
      thinking = found[2];
      folds = true;
    } else if (target == "thinking") {
      thought = thinking = "";
      folds = false;
    } else if (target == "thoughts" && folds) {
      thinking += html;
    } else if (target == "thought" && folds) {
      thought = html;
    } else if (target == "status" && outcome.empty() && how == "innerHTML") {
      status = html;
      statuses.push_back(html);
    } else if (target == "status" && outcome.empty()) {
      status = "";
      outcome = html;
    } else {
      throw std::runtime_error("the page has no place for this: " + target + " " + how + " " + html);
    }
  }

  bool folds = false;  // the thinking has a fold
};

}  // namespace server
