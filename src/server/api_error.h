// Errors of the API, in the form that OpenAI's clients read.
#pragma once

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "server/exchange.h"

namespace server {

struct ApiError : std::runtime_error {
  ApiError(unsigned http_status, const std::string& message, std::string about = {}, std::string error_code = {})
      : std::runtime_error(message), status(http_status), param(std::move(about)), code(std::move(error_code)) {}

  unsigned status;
  std::string param;  // the field of the request at fault; empty if none is
  std::string code;   // for programs: "context_length_exceeded"; may be empty
};

// {"error": {"message", "type", "param", "code"}}
nlohmann::ordered_json error_json(const ApiError& error);

// JSON text; bytes that are not UTF-8 become U+FFFD.
std::string json_text(const nlohmann::ordered_json& json);
Response json_response(unsigned status, const nlohmann::ordered_json& json);

}  // namespace server
