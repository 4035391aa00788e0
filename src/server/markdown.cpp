#include "server/markdown.h"

#include <cmark-gfm-core-extensions.h>
#include <cmark-gfm.h>

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>

#include "base/error.h"

namespace server {
namespace {

struct FreeParser {
  void operator()(cmark_parser* parser) const { cmark_parser_free(parser); }
};
struct FreeNode {
  void operator()(cmark_node* node) const { cmark_node_free(node); }
};
struct FreeIterator {
  void operator()(cmark_iter* iterator) const { cmark_iter_free(iterator); }
};
using Parser = std::unique_ptr<cmark_parser, FreeParser>;
using Node = std::unique_ptr<cmark_node, FreeNode>;
using Iterator = std::unique_ptr<cmark_iter, FreeIterator>;

bool harmless_link(const char* url) {
  const std::string_view target = url == nullptr ? std::string_view{} : std::string_view{url};
  std::string scheme{target.substr(0, std::min(target.find(':'), target.size()))};
  std::transform(scheme.begin(), scheme.end(), scheme.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return scheme.size() < target.size() && (scheme == "http" || scheme == "https" || scheme == "mailto");
}

void replace(cmark_node* old, cmark_node* replacement) {
  cmark_node_replace(old, replacement);
  cmark_node_free(old);
}

void move_children(cmark_node* from, cmark_node* to) {
  while (cmark_node* child = cmark_node_first_child(from)) cmark_node_append_child(to, child);
}

// HTML becomes the text it is written as.
void disarm_html(cmark_node* node) {
  cmark_node* text = cmark_node_new(CMARK_NODE_TEXT);
  cmark_node_set_literal(text, cmark_node_get_literal(node));
  if (cmark_node_get_type(node) == CMARK_NODE_HTML_INLINE) {
    replace(node, text);
    return;
  }
  cmark_node* block = cmark_node_new(CMARK_NODE_CODE_BLOCK);
  cmark_node_set_literal(block, cmark_node_get_literal(node));
  cmark_node_free(text);
  replace(node, block);
}

// A link that leads elsewhere than to the web is its text; an image is a link, for the page loads nothing from outside.
void disarm_link(cmark_node* node) {
  const char* url = cmark_node_get_url(node);
  if (!harmless_link(url)) {
    while (cmark_node* child = cmark_node_first_child(node)) cmark_node_insert_before(node, child);
    cmark_node_unlink(node);
    cmark_node_free(node);
    return;
  }
  if (cmark_node_get_type(node) != CMARK_NODE_IMAGE) return;
  cmark_node* link = cmark_node_new(CMARK_NODE_LINK);
  cmark_node_set_url(link, url);
  if (cmark_node_first_child(node) == nullptr) {
    cmark_node* text = cmark_node_new(CMARK_NODE_TEXT);
    cmark_node_set_literal(text, url);
    cmark_node_append_child(link, text);
  }
  move_children(node, link);
  replace(node, link);
}

void disarm(cmark_node* document) {
  std::vector<cmark_node*> html, links;
  const Iterator iterator{cmark_iter_new(document)};
  for (cmark_event_type event; (event = cmark_iter_next(iterator.get())) != CMARK_EVENT_DONE;) {
    cmark_node* node = cmark_iter_get_node(iterator.get());
    const cmark_node_type type = cmark_node_get_type(node);
    if (event == CMARK_EVENT_ENTER && (type == CMARK_NODE_HTML_BLOCK || type == CMARK_NODE_HTML_INLINE))
      html.push_back(node);
    // On leaving, so that an image within a link is dealt with before the link.
    if (event == CMARK_EVENT_EXIT && (type == CMARK_NODE_LINK || type == CMARK_NODE_IMAGE)) links.push_back(node);
  }
  for (cmark_node* node : html) disarm_html(node);
  for (cmark_node* node : links) disarm_link(node);
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

// Text and attributes are escaped by now, so these strings can only be tags that the renderer wrote.
void dress(std::string& html) {
  replace_all(html, "<a href=", "<a target=\"_blank\" rel=\"noopener noreferrer nofollow\" href=");
  replace_all(html, "<pre><code",
              "<div class=\"code\"><button type=\"button\" class=\"copy\">Copy</button><pre tabindex=\"0\"><code");
  replace_all(html, "</code></pre>", "</code></pre></div>");
  replace_all(html, "<table>", "<div class=\"table\" tabindex=\"0\"><table>");
  replace_all(html, "</table>", "</table></div>");
}

constexpr int options = CMARK_OPT_DEFAULT | CMARK_OPT_VALIDATE_UTF8 | CMARK_OPT_STRIKETHROUGH_DOUBLE_TILDE;

Parser new_parser() {
  static std::once_flag registered;
  std::call_once(registered, cmark_gfm_core_extensions_ensure_registered);
  Parser parser{cmark_parser_new(options)};
  for (const char* name : {"table", "strikethrough", "autolink"}) {
    cmark_syntax_extension* extension = cmark_find_syntax_extension(name);
    if (extension == nullptr)
      throw base::Error(base::ErrorKind::Internal, "cmark-gfm", std::string("has no extension ") + name);
    cmark_parser_attach_syntax_extension(parser.get(), extension);
  }
  return parser;
}

}  // namespace

std::vector<std::string> markdown_blocks(std::string_view markdown) {
  const Parser parser = new_parser();
  cmark_parser_feed(parser.get(), markdown.data(), markdown.size());
  const Node document{cmark_parser_finish(parser.get())};
  disarm(document.get());

  cmark_mem* memory = cmark_get_default_mem_allocator();
  std::vector<std::string> blocks;
  for (cmark_node* block = cmark_node_first_child(document.get()); block != nullptr; block = cmark_node_next(block)) {
    char* rendered = cmark_render_html(block, options, cmark_parser_get_syntax_extensions(parser.get()));
    std::string html{rendered};
    memory->free(rendered);
    dress(html);
    blocks.push_back(std::move(html));
  }
  return blocks;
}

std::string markdown_html(std::string_view markdown) {
  std::string html;
  for (const std::string& block : markdown_blocks(markdown)) html += block;
  return html;
}

}  // namespace server
