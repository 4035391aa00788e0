// How values of records.h are written in the tables.
#pragma once

#include <string>
#include <string_view>

#include "store/records.h"

namespace store {

std::string name_of(Role role);
std::string name_of(Condition condition);
// Both throw base::Error (Internal) for what no version has written.
Role role_of(std::string_view name);
Condition condition_of(std::string_view name);

// Without what no database can keep: of all characters, the one with the number 0. U+FFFD takes its place.
std::string storable(std::string_view text);

}  // namespace store
