// Stop texts: an answer ends where one of them begins, wherever the tokens' boundaries fall.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace engine {

class StopFilter {
 public:
  explicit StopFilter(std::vector<std::string> stops);

  // Takes the next piece of text and returns what is certainly part of the answer. An end of the text that may turn out
  // to be the beginning of a stop text is held back.
  std::string push(std::string_view piece);
  // What was held back, once nothing follows.
  std::string finish();

  bool stopped() const { return stopped_; }  // a stop text came; nothing more will be returned

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace engine
