// Markdown, as models write it, to HTML that is safe to put into a page: GitHub's dialect with tables, strikethrough
// and autolinks. HTML within it is shown as text, images become links, and links lead only to http, https and mailto.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace server {

// The HTML of each top-level block (paragraph, list, table, …), in order. While an answer grows, only its last blocks
// change, so a caller can send the difference.
std::vector<std::string> markdown_blocks(std::string_view markdown);

// All blocks joined.
std::string markdown_html(std::string_view markdown);

}  // namespace server
