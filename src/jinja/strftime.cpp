#include "jinja/strftime.h"

#include <array>
#include <cstdlib>
#include <ctime>

#include "jinja/failure.h"

namespace jinja {
namespace {

constexpr std::array<std::string_view, 7> days = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                  "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> months = {"January",   "February", "March",    "April",
                                                     "May",       "June",     "July",     "August",
                                                     "September", "October",  "November", "December"};

std::string padded(int n, int width, char fill = '0') {
  std::string digits = std::to_string(n);
  if (static_cast<int>(digits.size()) < width) digits.insert(0, static_cast<std::size_t>(width) - digits.size(), fill);
  return digits;
}

struct Moment {
  int year, month, day, weekday, year_day;  // weekday 0 is Sunday, year_day 0 the first of January
  int hour, minute, second;
};

// The year and the week by ISO 8601: weeks start on Monday and belong to the year of their Thursday.
std::pair<int, int> iso_week(const Moment& m) {
  const int weekday = (m.weekday + 6) % 7;
  const auto long_year = [](int y) {
    const auto first_weekday = [](int year) { return (year + year / 4 - year / 100 + year / 400) % 7; };
    return first_weekday(y) == 4 || first_weekday(y - 1) == 3;
  };
  const int week = (m.year_day - weekday + 10) / 7;
  if (week < 1) return {m.year - 1, long_year(m.year - 1) ? 53 : 52};
  if (week == 53 && !long_year(m.year)) return {m.year + 1, 1};
  return {m.year, week};
}

std::string field(const Moment& m, char letter, bool plain);

std::string all(const Moment& m, std::string_view format) {
  std::string out;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out.push_back(format[i]);
      continue;
    }
    const bool plain = format[i + 1] == '-' && i + 2 < format.size();
    i += plain ? 2 : 1;
    out += field(m, format[i], plain);
  }
  return out;
}

// `plain`: %-d, without leading zeros.
std::string field(const Moment& m, char letter, bool plain) {
  const auto number = [plain](int n, int width, char fill = '0') {
    return plain ? std::to_string(n) : padded(n, width, fill);
  };
  const int hour12 = m.hour % 12 == 0 ? 12 : m.hour % 12;
  const auto month = months[static_cast<std::size_t>(m.month - 1)];
  const auto day = days[static_cast<std::size_t>(m.weekday)];
  switch (letter) {
    case '%':
      return "%";
    case 'n':
      return "\n";
    case 't':
      return "\t";
    case 'a':
      return std::string(day.substr(0, 3));
    case 'A':
      return std::string(day);
    case 'b':
    case 'h':
      return std::string(month.substr(0, 3));
    case 'B':
      return std::string(month);
    case 'c':
      return all(m, "%a %b %e %H:%M:%S %Y");
    case 'C':
      return number(m.year / 100, 2);
    case 'd':
      return number(m.day, 2);
    case 'D':
    case 'x':
      return all(m, "%m/%d/%y");
    case 'e':
      return number(m.day, 2, ' ');
    case 'f':
      return "000000";
    case 'F':
      return all(m, "%Y-%m-%d");
    case 'G':
      return std::to_string(iso_week(m).first);
    case 'g':
      return number(iso_week(m).first % 100, 2);
    case 'H':
      return number(m.hour, 2);
    case 'I':
      return number(hour12, 2);
    case 'j':
      return number(m.year_day + 1, 3);
    case 'k':
      return number(m.hour, 2, ' ');
    case 'l':
      return number(hour12, 2, ' ');
    case 'm':
      return number(m.month, 2);
    case 'M':
      return number(m.minute, 2);
    case 'p':
      return m.hour < 12 ? "AM" : "PM";
    case 'P':
      return m.hour < 12 ? "am" : "pm";
    case 'r':
      return all(m, "%I:%M:%S %p");
    case 'R':
      return all(m, "%H:%M");
    case 'S':
      return number(m.second, 2);
    case 'T':
    case 'X':
      return all(m, "%H:%M:%S");
    case 'u':
      return std::to_string(m.weekday == 0 ? 7 : m.weekday);
    case 'U':
      return number((m.year_day + 7 - m.weekday) / 7, 2);
    case 'V':
      return number(iso_week(m).second, 2);
    case 'w':
      return std::to_string(m.weekday);
    case 'W':
      return number((m.year_day + 7 - (m.weekday + 6) % 7) / 7, 2);
    case 'y':
      return number(m.year % 100, 2);
    case 'Y':
      return std::to_string(m.year);
    case 'z':
    case 'Z':
      return "";  // the time carries no zone
    default: {
      // One byte of a longer character would make the message invalid UTF-8.
      const std::string shown = (letter & 0x80) == 0 ? std::string(1, letter) : " before such a character";
      throw Failure(concat("strftime_now knows no %", shown), "expected a letter such as d, m, B or Y");
    }
  }
}

}  // namespace

std::string format_time(std::chrono::local_seconds time, std::string_view format) {
  using namespace std::chrono;
  const auto date = floor<std::chrono::days>(time);
  const year_month_day ymd(date);
  const hh_mm_ss clock(time - date);
  const local_days new_year(ymd.year() / January / 1);
  Moment m;
  m.year = int(ymd.year());
  m.month = static_cast<int>(unsigned(ymd.month()));
  m.day = static_cast<int>(unsigned(ymd.day()));
  m.weekday = static_cast<int>(weekday(date).c_encoding());
  m.year_day = static_cast<int>((date - new_year).count());
  m.hour = static_cast<int>(clock.hours().count());
  m.minute = static_cast<int>(clock.minutes().count());
  m.second = static_cast<int>(clock.seconds().count());
  return all(m, format);
}

std::chrono::local_seconds local_now() {
  using namespace std::chrono;
  const std::time_t now = std::time(nullptr);
  std::tm t{};
  localtime_r(&now, &t);
  const year_month_day date(year(t.tm_year + 1900), month(static_cast<unsigned>(t.tm_mon + 1)),
                            day(static_cast<unsigned>(t.tm_mday)));
  return local_days(date) + hours(t.tm_hour) + minutes(t.tm_min) + seconds(t.tm_sec);
}

}  // namespace jinja
