#include "engine/loaded_model.h"

#include <utility>

#include "base/error.h"
#include "base/resources.h"

namespace engine {

LoadedModel::LoadedModel(gguf::File file, compute::DeviceKind kind, int threads, std::uint32_t context)
    : LoadedModel(std::move(file), compute::make_device(kind, threads > 0 ? threads : base::usable_processors()),
                  context) {}

LoadedModel::LoadedModel(gguf::File file, compute::ChosenDevice device, std::uint32_t context)
    : file_(std::move(file)), chosen_(std::move(device)), model_(file_, *chosen_.device, context) {}

std::string LoadedModel::name() const { return std::string(file_.string("general.name", file_.name())); }

const smollm3::Tokenizer& LoadedModel::tokenizer() const {
  const std::lock_guard lock(mutex_);
  if (!tokenizer_) {
    smollm3::Tokenizer loaded = smollm3::Tokenizer::load(file_);
    if (loaded.vocab_size() != static_cast<std::int32_t>(config().vocab)) {
      throw base::Error(file_.name(),
                        "its tokenizer has " + std::to_string(loaded.vocab_size()) + " tokens and its weights " +
                            std::to_string(config().vocab),
                        "the file is damaged or badly converted");
    }
    tokenizer_.emplace(std::move(loaded));
  }
  return *tokenizer_;
}

const smollm3::ChatTemplate& LoadedModel::chat_template() const {
  const std::lock_guard lock(mutex_);
  if (!chat_template_) chat_template_.emplace(smollm3::ChatTemplate::of(file_));
  return *chat_template_;
}

}  // namespace engine
