// How the language's own functions fail, and what stops a template that would never end.
#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"

namespace jinja {

inline std::string_view as_text(std::string_view s) { return s; }
inline std::string as_text(std::integral auto n) { return std::to_string(n); }

// The parts, strings or numbers, one after another.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string out;
  (out.append(as_text(parts)), ...);
  return out;
}

// A failure that does not know yet where in the template it happened; the interpreter adds that.
class Failure : public base::Error {
 public:
  explicit Failure(std::string_view why, std::string_view remedy = {}) : base::Error("template", why, remedy) {}
};

// The steps left to the render that runs on this thread. A scope, so that every function which may be made to do much
// work for little text (repeating, joining, printing shared lists) can account for it without being handed the render.
class Budget {
 public:
  Budget(std::size_t steps, std::size_t max_text);
  ~Budget();
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  // Fails when the steps are used up. Outside a render everything is free.
  static void spend(std::size_t steps);
  // The cost of making a text of so many bytes; fails if that is more than a text may have.
  static void spend_text(std::size_t bytes);
  // The cost of looking through a text of so many bytes.
  static void spend_reading(std::size_t bytes);

 private:
  std::size_t left_;
  std::size_t max_text_;
  Budget* outer_;
};

}  // namespace jinja
