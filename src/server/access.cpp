#include "server/access.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace server {
namespace {

std::string lower(std::string_view text) {
  std::string result{text};
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.size() <= 5 && text.find_first_not_of("0123456789") == std::string_view::npos;
}

bool is_address(const std::string& name) {
  std::array<unsigned char, 16> address{};
  return inet_pton(AF_INET, name.c_str(), address.data()) == 1 ||
         inet_pton(AF_INET6, name.c_str(), address.data()) == 1;
}

bool is_loopback(const std::string& name) {
  return name == "localhost" || name == "::1" || (name.starts_with("127.") && is_address(name));
}

// What GET pages a link on another site may lead to; everything else answers only to our own pages.
bool open_to_links(const Request& request) {
  const bool reads = request.method == "GET" || request.method == "HEAD";
  return reads && !request.path.starts_with("/v1") &&
         (request.fetch_mode.empty() || request.fetch_mode == "navigate" || request.path == "/health");
}

}  // namespace

std::optional<std::string> host_name(std::string_view host_header) {
  std::string_view name = host_header, rest;
  if (name.starts_with('[')) {
    const std::size_t bracket = name.find(']');
    if (bracket == std::string_view::npos) return std::nullopt;
    rest = name.substr(bracket + 1);
    name = name.substr(1, bracket - 1);
  } else {
    const std::size_t colon = std::min(name.find(':'), name.size());
    rest = name.substr(colon);
    name = name.substr(0, colon);
  }
  if (!rest.empty() && (rest[0] != ':' || !all_digits(rest.substr(1)))) return std::nullopt;
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty() || name.find_first_of(" \t/@\\#?%") != std::string_view::npos) return std::nullopt;
  return lower(name);
}

AccessRules::AccessRules(std::string_view host, const std::vector<std::string>& names, bool insecure)
    : named_(!names.empty()), insecure_(insecure) {
  const std::string bound = host_name(host).value_or(lower(host));
  loopback_ = is_loopback(bound) || lower(host) == "::1";
  names_ = {"localhost", "127.0.0.1", "::1", bound};
  for (const std::string& name : names) names_.push_back(lower(name));
  if (!loopback_) {
    std::array<char, 256> own{};
    if (gethostname(own.data(), own.size() - 1) == 0) {
      names_.push_back(lower(own.data()));
      names_.push_back(lower(own.data()) + ".local");
    }
  }
}

bool AccessRules::host_allowed(const std::string& name) const {
  if (std::find(names_.begin(), names_.end(), name) != names_.end()) return true;
  return !loopback_ && is_address(name);
}

std::optional<std::string> AccessRules::refuse(const Request& request) const {
  const auto name = host_name(request.host);
  if (!name) return "the request names no valid host; send a Host header";
  if (!host_allowed(*name)) {
    return "this server is not called " + *name + "; open it under the address that it printed when it started";
  }
  if (!request.origin.empty() && !(request.method == "GET" && open_to_links(request))) {
    // A proxy in front may speak https, so the scheme is not compared; the host and port are.
    const std::string origin = lower(request.origin), host = lower(request.host);
    if (origin != "http://" + host && origin != "https://" + host) {
      return "requests from pages of another site (" + request.origin + ") are refused";
    }
  }
  const bool foreign = request.fetch_site == "cross-site" || request.fetch_site == "same-site";
  if (foreign && !open_to_links(request)) return "requests from pages of another site are refused";
  return std::nullopt;
}

}  // namespace server
