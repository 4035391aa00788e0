// What a conversation is called: at first as its first message begins, and then what the model finds for it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace server {

// As the first message begins.
std::string title_of(std::string_view message);

// What the model is asked, of the beginnings of both.
std::string title_request(std::string_view question, std::string_view answer);
// What it wrote, without what models like to put around a title; none if that is no title.
std::optional<std::string> title_from(std::string_view written);

}  // namespace server
