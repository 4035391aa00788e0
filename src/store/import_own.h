// A conversation as export.h writes it.
#pragma once

#include <optional>

#include "store/json_fields.h"
#include "store/whole.h"

namespace store {

// None if nothing was said in it. Throws base::Error for what no export has.
std::optional<WholeConversation> own_conversation(const Fields& fields);

// The id as the server has them, 32 hexadecimal digits in lower case, of one with dashes or capital letters; empty if
// it is no such number.
std::string id_of(const std::string& text);

}  // namespace store
