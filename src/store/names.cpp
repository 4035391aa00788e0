#include "store/names.h"

#include <utility>

#include "base/error.h"

namespace store {
namespace {

constexpr std::pair<Role, std::string_view> roles[] = {{Role::User, "user"}, {Role::Assistant, "assistant"}};
constexpr std::pair<Condition, std::string_view> conditions[] = {{Condition::Whole, "whole"},
                                                                 {Condition::Open, "open"},
                                                                 {Condition::Paused, "paused"},
                                                                 {Condition::Interrupted, "interrupted"}};

template <typename Table, typename Value>
std::string name_in(const Table& table, Value value) {
  for (const auto& [known, name] : table) {
    if (known == value) return std::string(name);
  }
  throw base::Error(base::ErrorKind::Internal, "store", "has no name for a value");
}

template <typename Table>
auto value_in(const Table& table, std::string_view wanted) {
  for (const auto& [value, name] : table) {
    if (name == wanted) return value;
  }
  throw base::Error(base::ErrorKind::Internal, "store", "has '" + std::string(wanted) + "', which nobody writes");
}

}  // namespace

std::string name_of(Role role) { return name_in(roles, role); }
std::string name_of(Condition condition) { return name_in(conditions, condition); }
Role role_of(std::string_view name) { return value_in(roles, name); }
Condition condition_of(std::string_view name) { return value_in(conditions, name); }

std::string storable(std::string_view text) {
  std::string kept;
  kept.reserve(text.size());
  for (const char byte : text) {
    if (byte == 0) {
      kept += "\uFFFD";
    } else {
      kept += byte;
    }
  }
  return kept;
}

}  // namespace store
