#include "server/api_error.h"

namespace server {

nlohmann::ordered_json error_json(const ApiError& error) {
  const char* type = error.status >= 500   ? "server_error"
                     : error.status == 403 ? "permission_error"
                                           : "invalid_request_error";
  nlohmann::ordered_json body{{"message", error.what()}, {"type", type}, {"param", nullptr}, {"code", nullptr}};
  if (!error.param.empty()) body["param"] = error.param;
  if (!error.code.empty()) body["code"] = error.code;
  return {{"error", std::move(body)}};
}

std::string json_text(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Response json_response(unsigned status, const nlohmann::ordered_json& json) {
  return {.status = status,
          .content_type = "application/json",
          .body = json_text(json),
          .headers = {{"Cache-Control", "no-store"}}};
}

}  // namespace server
