// Renders what it is told, for a comparison with another implementation of the template language: each line of standard
// input is {"template": …, "context": {…}}, each line of standard output {"text": …} or {"error": …}. The date is 9
// March 2026, 07:05:03.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "jinja/jinja.h"

int main() {
  using nlohmann::ordered_json;
  using namespace std::chrono;
  jinja::Options options;
  options.now = local_days(2026y / March / 9) + hours(7) + minutes(5) + seconds(3);
  std::string line;
  while (std::getline(std::cin, line)) {
    ordered_json result;
    try {
      const ordered_json request = ordered_json::parse(line);
      const auto parsed = jinja::Template::parse(request.at("template").get<std::string>(), "template");
      result["text"] = parsed.render(request.at("context"), options).bytes();
    } catch (const base::Error& error) {
      result["error"] = error.what();
    }
    std::cout << result.dump() << std::endl;
  }
}
