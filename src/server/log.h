// What the server tells the one who runs it: a line a request, on standard error. Never what was said in a
// conversation.
#pragma once

#include <string_view>

namespace server {

void log_info(std::string_view line);
void log_error(std::string_view line);
// From now on log_info() does nothing.
void log_errors_alone();

}  // namespace server
