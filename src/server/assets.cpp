#include "server/assets.h"

#include <cstdint>

#include "server/asset_table.h"

namespace server {

const std::vector<Asset>& assets() {
  static const std::vector<Asset> all = [] {
    std::vector<Asset> list;
    for (const AssetRow& row : asset_rows) {
      list.push_back(
          {row.name, {reinterpret_cast<const char*>(row.begin), static_cast<std::size_t>(row.end - row.begin)}});
    }
    return list;
  }();
  return all;
}

std::string_view content_type(std::string_view file_name) {
  if (file_name.ends_with(".css")) return "text/css; charset=utf-8";
  if (file_name.ends_with(".js")) return "text/javascript; charset=utf-8";
  if (file_name.ends_with(".svg")) return "image/svg+xml";
  return {};
}

const Asset* find_asset(std::string_view name) {
  for (const Asset& asset : assets()) {
    if (asset.name == name) return &asset;
  }
  return nullptr;
}

std::string content_tag(std::string_view content) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : content) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3;
  std::string tag;
  for (int shift = 60; shift >= 0; shift -= 4) tag += "0123456789abcdef"[hash >> shift & 15];
  return tag;
}

nlohmann::ordered_json asset_urls() {
  auto urls = nlohmann::ordered_json::object();
  for (const Asset& asset : assets()) {
    if (content_type(asset.name).empty()) continue;
    const std::string name{asset.name};
    urls[name] = "/assets/" + name + "?v=" + content_tag(asset.content);
  }
  return urls;
}

}  // namespace server
