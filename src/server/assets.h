// The web page's files, built into the program: everything under web/ but its documents.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace server {

struct Asset {
  std::string_view name;  // "chat.css", "page.jinja"
  std::string_view content;
};

// All of them; they live as long as the program.
const std::vector<Asset>& assets();
// Nullptr if there is none of that name.
const Asset* find_asset(std::string_view name);

std::string_view content_type(std::string_view file_name);
// A short text that differs when the content does.
std::string content_tag(std::string_view content);
// Where a page finds each file that browsers fetch: {"chat.css": "/assets/chat.css?v=…", …}. With the tag in it the
// address may be cached forever.
nlohmann::ordered_json asset_urls();

}  // namespace server
