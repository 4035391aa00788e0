#include "gguf/split.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>

#include "base/error.h"

namespace gguf {
namespace {

using base::Error;
namespace fs = std::filesystem;

// "-00002-of-00003.gguf"
std::string ending(std::uint64_t number, std::uint64_t count) {
  char text[64];
  std::snprintf(text, sizeof text, "-%05llu-of-%05llu.gguf", static_cast<unsigned long long>(number),
                static_cast<unsigned long long>(count));
  return text;
}

fs::path with_ending(const fs::path& path, std::size_t old_ending, std::uint64_t number, std::uint64_t count) {
  const std::string name = path.filename().string();
  return path.parent_path() / (name.substr(0, name.size() - old_ending) + ending(number, count));
}

std::string describe(const SplitPart& part) {
  return "part " + std::to_string(part.number) + " of " + std::to_string(part.count);
}

[[noreturn]] void refuse_later_part(const fs::path& path, const SplitPart& part) {
  const std::string own = ending(part.number, part.count);
  const bool named_so = path.filename().string().ends_with(own);
  throw Error(
      path.string(), "is " + describe(part) + " of a split model",
      "name the first" + (named_so ? ": " + with_ending(path, own.size(), 1, part.count).string() : std::string()));
}

// The part at `path`, which must belong to the same split as `first`.
File open_part(const fs::path& path, const SplitPart& wanted, const File& first) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    throw Error(path.string(), "is missing: it is " + describe(wanted) + " of " + first.name(),
                "put it beside the first, or download it again");
  }
  File file = File::open(path);
  const auto refuse = [&](const std::string& why) {
    throw Error(path.string(), why, "take all parts from the same place");
  };
  const auto part = split_part(file);
  if (!part) refuse("is no part of a split model, though its name says so");
  if (part->number != wanted.number || part->count != wanted.count || part->tensors != wanted.tensors) {
    refuse("is " + describe(*part) + ", of " + std::to_string(part->tensors) + " tensors, where " + describe(wanted) +
           ", of " + std::to_string(wanted.tensors) + ", is wanted: it is of another split than " + first.name());
  }
  constexpr std::string_view architecture = "general.architecture";
  if (!file.string(architecture, "").empty() && file.string(architecture) != first.string(architecture, "")) {
    refuse("is of another model than " + first.name());
  }
  for (const Tensor& tensor : file.tensors()) {
    if (first.tensor(tensor.name))
      refuse("holds the tensor " + std::string(tensor.name) + ", which an earlier part holds too");
  }
  return file;
}

}  // namespace

std::optional<SplitPart> split_part(const File& file) {
  const std::uint64_t count = file.integer("split.count", 0);
  if (count < 2) return std::nullopt;
  const std::uint64_t index = file.integer("split.no");
  if (index >= count) {
    throw Error(file.name(), "says it is part " + std::to_string(index) + " (from 0) of " + std::to_string(count),
                "the file is damaged; download it again");
  }
  return SplitPart{index + 1, count, file.integer("split.tensors.count")};
}

File open_model(const fs::path& path) {
  File model = File::open(path);
  const auto first = split_part(model);
  if (!first) return model;
  if (first->number != 1) refuse_later_part(path, *first);
  const std::string own = ending(1, first->count);
  if (!path.filename().string().ends_with(own)) {
    throw Error(path.string(), "is " + describe(*first) + " of a split model, but its name does not end in " + own,
                "give the parts the names they had, which tell where the others are");
  }
  for (std::uint64_t number = 2; number <= first->count; ++number) {
    const SplitPart wanted{number, first->count, first->tensors};
    model.append(open_part(with_ending(path, own.size(), number, first->count), wanted, model));
  }
  if (model.tensors().size() != first->tensors) {
    throw Error(path.string(),
                "and its other parts hold " + std::to_string(model.tensors().size()) + " tensors where " +
                    std::to_string(first->tensors) + " were split",
                "download the parts again");
  }
  return model;
}

bool is_named_as_later_part(const fs::path& path) {
  const std::string name = path.filename().string();
  const std::string pattern = ending(0, 0);
  if (name.size() <= pattern.size()) return false;
  const std::string_view end = std::string_view(name).substr(name.size() - pattern.size());
  const auto fits = [](char c, char wanted) { return wanted == '0' ? c >= '0' && c <= '9' : c == wanted; };
  return std::equal(end.begin(), end.end(), pattern.begin(), fits) && end.substr(1, 5) != "00001";
}

}  // namespace gguf
