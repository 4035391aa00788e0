// Conversations as files: JSON with all there is of them, which read_conversations() (import.h) reads, and Markdown for
// people. docs/sessions.md describes both.
#pragma once

#include <string>
#include <string_view>

#include "store/whole.h"

namespace store {

inline constexpr std::string_view export_format = "smollm3-conversations";
inline constexpr int export_version = 1;

// A file is this, conversations with export_separator between them, and export_end.
std::string export_begin();
inline constexpr std::string_view export_separator = ",\n";
inline constexpr std::string_view export_end = "\n]}\n";
std::string to_json(const WholeConversation& conversation);

// Names what was said, and when: conversations of the same text, in any store, have the same 32 digits.
std::string digest_of(const WholeConversation& conversation);

// The shown branch.
std::string to_markdown(const Conversation& conversation);

}  // namespace store
