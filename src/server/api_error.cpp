#include "server/api_error.h"

#include <new>

#include "engine/engine.h"

namespace server {
namespace {

// About what an answer takes, after which there is room for another; where nobody knows better.
constexpr unsigned busy_seconds = 5;

}  // namespace

nlohmann::ordered_json error_json(const ApiError& error) {
  const char* type = error.status >= 500   ? "server_error"
                     : error.status == 403 ? "permission_error"
                     : error.status == 429 ? "rate_limit_error"
                                           : "invalid_request_error";
  nlohmann::ordered_json body{{"message", error.what()}, {"type", type}, {"param", nullptr}, {"code", nullptr}};
  if (!error.param.empty()) body["param"] = error.param;
  if (!error.code.empty()) body["code"] = error.code;
  return {{"error", std::move(body)}};
}

unsigned http_status(base::ErrorKind kind) {
  switch (kind) {
    case base::ErrorKind::Input:
    case base::ErrorKind::TooLong:
      return 400;
    case base::ErrorKind::Busy:
    case base::ErrorKind::Resource:
      return 503;
    case base::ErrorKind::Internal:
      return 500;
  }
  return 500;
}

ApiError told_to_client(const std::exception& failure) {
  if (const auto* ready = dynamic_cast<const ApiError*>(&failure)) return *ready;
  if (dynamic_cast<const std::bad_alloc*>(&failure) != nullptr) {
    return {http_status(base::ErrorKind::Resource), "the server has not enough memory for this", {}, "out_of_memory"};
  }
  const auto* error = dynamic_cast<const base::Error*>(&failure);
  const base::ErrorKind kind = error != nullptr ? error->kind() : base::ErrorKind::Internal;
  if (kind == base::ErrorKind::Internal) {
    return {http_status(kind), "the server made a mistake; its log says more", {}, "internal_error"};
  }
  ApiError told(http_status(kind), failure.what());
  if (kind == base::ErrorKind::TooLong) {
    told.param = "messages";
    told.code = "context_length_exceeded";
  } else if (kind == base::ErrorKind::Busy) {
    told.code = "overloaded";
    const auto* busy = dynamic_cast<const engine::Busy*>(&failure);
    told.retry_after = busy != nullptr ? busy->retry_after : busy_seconds;
  }
  return told;
}

bool belongs_into_log(const std::exception& failure) {
  if (dynamic_cast<const ApiError*>(&failure) != nullptr) return false;  // its thrower knew what it did
  const auto* error = dynamic_cast<const base::Error*>(&failure);
  if (error == nullptr) return true;
  return error->kind() == base::ErrorKind::Resource || error->kind() == base::ErrorKind::Internal;
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
