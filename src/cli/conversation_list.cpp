#include "cli/conversation_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>

#include "base/error.h"
#include "cli/format.h"
#include "cli/output.h"

namespace cli {
namespace {

constexpr std::size_t most_listed = 50;
constexpr std::size_t short_id = 8;  // digits that tell conversations apart

std::string when(store::Time time) {
  const std::time_t seconds = time / 1000;
  std::tm local{};
  ::localtime_r(&seconds, &local);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &local)};
}

}  // namespace

std::string one_line(const std::string& text) {
  std::string line = printable(text);
  std::ranges::replace(line, '\n', ' ');
  std::ranges::replace(line, '\t', ' ');
  return line;
}

void write_list(const std::vector<server::LocalHead>& list, const std::string& current) {
  Output& out = standard_output();
  const std::size_t shown = std::min(list.size(), most_listed);
  for (std::size_t i = 0; i < shown; ++i) {
    const server::LocalHead& head = list[i];
    out.write(fmt::format("{:>3}{} {}  {}  {}\n", i + 1, head.id == current ? '*' : ' ', when(head.changed),
                          head.id.substr(0, short_id), one_line(head.title)));
  }
  if (list.size() > shown) {
    out.write(fmt::format("and {} older ones, which /open finds by the beginning of their id\n", list.size() - shown));
  }
}

const server::LocalHead& find_in_list(const std::vector<server::LocalHead>& shown,
                                      const std::vector<server::LocalHead>& all, const std::string& which) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(which.data(), which.data() + which.size(), number);
  const bool is_number = error == std::errc{} && end == which.data() + which.size() && which.size() < short_id;
  if (is_number && number >= 1 && number <= shown.size()) return shown[number - 1];
  std::vector<const server::LocalHead*> found;
  for (const server::LocalHead& head : all) {
    if (head.id.starts_with(which)) found.push_back(&head);
  }
  if (found.size() == 1) return *found.front();
  if (found.empty()) {
    throw base::Error("conversation", "there is none with the number or id '" + printable(which) + "'",
                      "/list shows them");
  }
  throw base::Error("conversation", fmt::format("{} have an id that begins with '{}'", found.size(), printable(which)),
                    "name more of it");
}

}  // namespace cli
