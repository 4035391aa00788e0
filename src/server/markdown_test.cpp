#include "server/markdown.h"

#include <gtest/gtest.h>

#include <random>
#include <regex>
#include <set>

namespace server {
namespace {

// The oracle of safety: walks through HTML as a browser's tokenizer would see it and names the first tag or attribute
// that is not one of the few that Markdown needs.
std::string first_danger(const std::string& html) {
  static const std::set<std::string> tags{"p",  "h1",         "h2",    "h3",    "h4", "h5",     "h6",  "ul",  "ol",
                                          "li", "blockquote", "pre",   "code",  "em", "strong", "del", "a",   "br",
                                          "hr", "table",      "thead", "tbody", "tr", "th",     "td",  "div", "button"};
  static const std::regex attribute(R"re(^ ([a-z-]+)="([^"<>]*)")re");
  static const std::set<std::string> attributes{"href",  "title", "class",    "rel", "target",
                                                "start", "align", "tabindex", "type"};
  static const std::regex safe_url(R"re(^(https?:|mailto:)[^\s]*$)re", std::regex::icase);
  for (std::size_t i = 0; i < html.size();) {
    if (html[i] != '<') {
      ++i;
      continue;
    }
    const bool closing = i + 1 < html.size() && html[i + 1] == '/';
    std::size_t j = i + 1 + (closing ? 1 : 0);
    std::string tag;
    while (j < html.size() && std::isalnum(static_cast<unsigned char>(html[j]))) tag += html[j++];
    if (!tags.contains(tag)) return "tag <" + tag + "> in " + html.substr(i, 60);
    std::string rest = html.substr(j);
    std::smatch match;
    while (std::regex_search(rest, match, attribute)) {
      if (!attributes.contains(match[1])) return "attribute " + match[1].str();
      if (match[1] == "href" && !std::regex_match(match[2].str(), safe_url)) return "href " + match[2].str();
      j += match[0].str().size();
      rest = html.substr(j);
    }
    if (rest.starts_with(" />")) rest = rest.substr(2), j += 2;
    if (!rest.starts_with(">")) return "odd tag end: " + html.substr(i, 80);
    i = j + 1;
  }
  return "";
}

TEST(Markdown, RendersWhatModelsWrite) {
  EXPECT_EQ(markdown_html("Hello *you* and **me** ~~him~~"),
            "<p>Hello <em>you</em> and <strong>me</strong> <del>him</del></p>\n");
  EXPECT_EQ(markdown_html("1. a\n2. b"), "<ol>\n<li>a</li>\n<li>b</li>\n</ol>\n");
  EXPECT_NE(markdown_html("| a | b |\n|---|--:|\n| 1 | 2 |").find("<td align=\"right\">2</td>"), std::string::npos);
  EXPECT_NE(markdown_html("```cpp\nint x;\n```").find("<code class=\"language-cpp\">int x;\n</code></pre></div>"),
            std::string::npos);
  EXPECT_EQ(markdown_html("see https://example.org"),
            "<p>see <a target=\"_blank\" rel=\"noopener noreferrer nofollow\" href=\"https://example.org\">"
            "https://example.org</a></p>\n");
}

TEST(Markdown, AnUnfinishedFenceIsCodeAlready) {
  const std::string html = markdown_html("Look:\n\n```py\nprint('<b>');\n");
  EXPECT_NE(html.find("<pre tabindex=\"0\"><code class=\"language-py\">print('&lt;b&gt;');\n</code></pre>"),
            std::string::npos);
}

TEST(Markdown, ShowsHtmlAsText) {
  EXPECT_EQ(markdown_html("a <b onclick=x>c</b>"), "<p>a &lt;b onclick=x&gt;c&lt;/b&gt;</p>\n");
  const std::string block = markdown_html("<script>\nalert(1)\n</script>");
  EXPECT_NE(block.find("&lt;script&gt;\nalert(1)\n&lt;/script&gt;"), std::string::npos);
}

TEST(Markdown, DropsLinksThatDoNotLeadToTheWeb) {
  EXPECT_EQ(markdown_html("[x](javascript:alert(1))"), "<p>x</p>\n");
  EXPECT_EQ(markdown_html("[x](/local)"), "<p>x</p>\n");
  EXPECT_EQ(markdown_html("[x](JAVASCRIPT&colon;alert(1))"), "<p>x</p>\n");
  EXPECT_NE(markdown_html("[x](HTTPS://e.org)").find("href=\"HTTPS://e.org\""), std::string::npos);
}

TEST(Markdown, TurnsImagesIntoLinks) {
  EXPECT_EQ(markdown_html("![cat](https://e.org/c.png)"),
            "<p><a target=\"_blank\" rel=\"noopener noreferrer nofollow\" href=\"https://e.org/c.png\">cat</a></p>\n");
  EXPECT_EQ(markdown_html("![cat](data:image/svg+xml,x)"), "<p>cat</p>\n");
}

const std::vector<std::string>& vectors() {
  static const std::vector<std::string> all{
      "<script>window.__xss=1</script>",
      "<img src=x onerror=alert(1)>",
      "<svg/onload=alert(1)>",
      "<svg><script>alert(1)</script></svg>",
      "<iframe src=javascript:alert(1)></iframe>",
      "<a href=\"javascript:alert(1)\">x</a>",
      "[x](javascript:alert(1))",
      "[x](JaVaScRiPt:alert(1))",
      "[x](java\nscript:alert(1))",
      "[x](&#106;avascript:alert(1))",
      "[x](&#x6A;&#x61;vascript&#58;alert(1))",
      "[x](\\javascript:alert(1))",
      "[x](<javascript:alert(1)>)",
      "[x]( javascript:alert(1))",
      "[x](\x01javascript:alert(1))",
      "[x](vbscript:msgbox(1))",
      "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
      "[x](file:///etc/passwd)",
      "[x](https://e.org \"title\\\" onmouseover=alert(1) x=\\\"\")",
      "[x](https://e.org \"title\" onmouseover=alert(1))",
      "[x](https://e.org/\"onmouseover=alert(1))",
      "[x](https://e.org/'onmouseover='alert(1))",
      "![x](https://e.org/x.png\"onerror=\"alert(1))",
      "![x](javascript:alert(1))",
      "![<script>alert(1)</script>](https://e.org)",
      "[<img src=x onerror=alert(1)>](https://e.org)",
      "[![x](javascript:alert(1))](javascript:alert(2))",
      "[x][1]\n\n[1]: javascript:alert(1)",
      "[x][1]\n\n[1]: https://e.org 'a\" onclick=\"alert(1)'",
      "<javascript:alert(1)>",
      "<https://e.org/\"onclick=alert(1)>",
      "https://e.org/\"onclick=alert(1)",
      "www.e.org/<script>alert(1)</script>",
      "mailto:x@e.org\"onclick=alert(1)",
      "```\"><script>alert(1)</script>\ncode\n```",
      "```x\" onclick=\"alert(1)\ncode\n```",
      "~~~<img/src/onerror=alert(1)>\n~~~",
      "`<script>alert(1)</script>`",
      "    <script>alert(1)</script>",
      "# <script>alert(1)</script>",
      "> <script>alert(1)</script>",
      "- <script>alert(1)</script>",
      "| <script>alert(1)</script> | b |\n|---|---|\n| <img src=x onerror=alert(1)> | [x](javascript:1) |",
      "~~<script>alert(1)</script>~~",
      "<!-- --><script>alert(1)</script>",
      "<!--><script>alert(1)</script>-->",
      "<![CDATA[<script>alert(1)</script>]]>",
      "<?php <script>alert(1)</script> ?>",
      "<!DOCTYPE html><script>alert(1)</script>",
      "</div></article></main><script>alert(1)</script>",
      "<template><script>alert(1)</script></template>",
      "<hx-partial hx-target=\"body\"><script>alert(1)</script></hx-partial>",
      "<div hx-get=\"/\" hx-trigger=\"load\">x</div>",
      "<div hx-on:click=\"alert(1)\">x</div>",
      "<style>body{display:none}</style>",
      "<style>@import 'https://e.org'</style>",
      "<link rel=stylesheet href=https://e.org>",
      "<meta http-equiv=refresh content=0;url=https://e.org>",
      "<base href=https://e.org>",
      "<form action=https://e.org><input type=submit>",
      "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
      "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
      "&lt;script&gt;alert(1)&lt;/script&gt;",
      "&#60;script&#62;alert(1)&#60;/script&#62;",
      "<scr<script>ipt>alert(1)</scr</script>ipt>",
      "<img \n src=x\n onerror=alert(1)\n>",
      "<IMG SRC=x ONERROR=alert(1)>",
      std::string("<scr\0ipt>alert(1)</scr\0ipt>", 27),
      ("\xC0\xBCscript\xC0\xBE"
       "alert(1)"),
      ("\xEF\xBC\x9Cscript\xEF\xBC\x9E"
       "alert(1)"),
      "<details open ontoggle=alert(1)>",
      "<x contenteditable onblur=alert(1)>",
      "[^1]\n\n[^1]: <script>alert(1)</script>",
      "<title>x</title><plaintext>",
      "data: x\n\nevent: done\ndata: <script>alert(1)</script>",
  };
  return all;
}

TEST(Markdown, RendersAttacksInert) {
  for (const std::string& vector : vectors()) {
    EXPECT_EQ(first_danger(markdown_html(vector)), "") << vector;
    // A stream shows every beginning of it too.
    for (std::size_t length = 1; length < vector.size(); ++length) {
      EXPECT_EQ(first_danger(markdown_html(vector.substr(0, length))), "") << vector.substr(0, length);
    }
  }
}

TEST(Markdown, RendersMixturesOfAttacksInert) {
  std::mt19937 random(1);
  const std::vector<std::string> glue{"",  " ",  "\n", "\n\n", "*",  "`",  "[", "](",
                                      ")", "> ", "- ", "|",    "~~", "\"", "<", ">"};
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (int part = 0; part < 4; ++part) {
      const std::string& vector = vectors()[random() % vectors().size()];
      const std::size_t begin = random() % vector.size();
      text += vector.substr(begin, random() % (vector.size() - begin + 1)) + glue[random() % glue.size()];
    }
    ASSERT_EQ(first_danger(markdown_html(text)), "") << text;
  }
}

TEST(Markdown, TheOracleSeesDangers) {
  for (const char* html :
       {"<script>", "<p onclick=\"x\">", "<a href=\"javascript:x\">", "<img src=x>", "<p x>", "<!-- -->"}) {
    EXPECT_NE(first_danger(html), "") << html;
  }
}

TEST(Markdown, EarlierBlocksStayWhileTextGrows) {
  const std::string text = "# Title\n\nA paragraph with **bold**.\n\n- one\n- two\n\n```c\nint a;\n```\n\nThe end.";
  std::vector<std::string> before;
  for (std::size_t length = 1; length <= text.size(); ++length) {
    const std::vector<std::string> now = markdown_blocks(text.substr(0, length));
    for (std::size_t i = 0; i + 1 < before.size() && i < now.size(); ++i) EXPECT_EQ(now[i], before[i]) << length;
    before = now;
  }
  EXPECT_EQ(before.size(), 5u);
}

}  // namespace
}  // namespace server
