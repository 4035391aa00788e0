// Models split over several files, NAME-00001-of-00003.gguf and so on, as llama.cpp's gguf-split writes them: the first
// part has the metadata, each part has tensors of its own, and split.no, split.count and split.tensors.count tell which
// part of what it is.
#pragma once

#include <filesystem>
#include <optional>

#include "gguf/gguf.h"

namespace gguf {

struct SplitPart {
  std::uint64_t number;   // from 1
  std::uint64_t count;    // of parts
  std::uint64_t tensors;  // of all parts together
};

// Which part a file is; nothing if it is whole.
std::optional<SplitPart> split_part(const File& file);

// Opens a model: the file, or all the parts of which it is the first. Throws base::Error naming a part that is missing
// or does not belong to it.
File open_model(const std::filesystem::path& path);

// Whether a file's name is that of a part other than the first.
bool is_named_as_later_part(const std::filesystem::path& path);

}  // namespace gguf
