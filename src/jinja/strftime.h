// A moment as text, by the letters of C's strftime and with English names, whatever the locale.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace jinja {

std::string format_time(std::chrono::local_seconds time, std::string_view format);
std::chrono::local_seconds local_now();

}  // namespace jinja
