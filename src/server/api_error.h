// What went wrong with a request, as an HTTP status and as the form that OpenAI's clients read.
#pragma once

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "base/error.h"
#include "server/exchange.h"

namespace server {

struct ApiError : std::runtime_error {
  ApiError(unsigned http_status, const std::string& message, std::string about = {}, std::string error_code = {})
      : std::runtime_error(message), status(http_status), param(std::move(about)), code(std::move(error_code)) {}

  unsigned status;
  std::string param;         // the field of the request at fault; empty if none is
  std::string code;          // for programs: "context_length_exceeded"; may be empty
  unsigned retry_after = 0;  // seconds after which the same may succeed; 0: nobody knows
};

// Input and TooLong 400, Busy and Resource 503, Internal 500.
unsigned http_status(base::ErrorKind kind);

// What a client is told of anything a handler throws. Of a failure inside the program (ErrorKind::Internal, or no
// base::Error at all) that is only that there was one: what() may name paths, and belongs into the log.
ApiError told_to_client(const std::exception& failure);
// Whether the operator has to be told too: a failure that no client caused.
bool belongs_into_log(const std::exception& failure);

// {"error": {"message", "type", "param", "code"}}
nlohmann::ordered_json error_json(const ApiError& error);

// JSON text; bytes that are not UTF-8 become U+FFFD.
std::string json_text(const nlohmann::ordered_json& json);
Response json_response(unsigned status, const nlohmann::ordered_json& json);

}  // namespace server
