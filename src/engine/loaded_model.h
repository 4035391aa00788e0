// A model file and all that is made of it, once: what the engine and the measuring commands compute with.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "compute/compute.h"
#include "gguf/gguf.h"
#include "smollm3/chat.h"
#include "smollm3/model.h"
#include "smollm3/tokenizer.h"

namespace engine {

class LoadedModel {
 public:
  // `threads`: 0 for as many as there are processors. `context`: positions to make the model for, 0 for its own number.
  // Throws base::Error if the file holds no SmolLM3, or the device is not there.
  LoadedModel(gguf::File file, compute::DeviceKind kind, int threads, std::uint32_t context);
  LoadedModel(gguf::File file, compute::ChosenDevice device, std::uint32_t context);
  LoadedModel(const LoadedModel&) = delete;
  LoadedModel& operator=(const LoadedModel&) = delete;

  const gguf::File& file() const { return file_; }
  std::string name() const;  // general.name, or the file's name
  compute::Device& device() const { return *chosen_.device; }
  const std::string& device_note() const { return chosen_.note; }  // as of compute::ChosenDevice
  smollm3::Model& model() { return model_; }
  const smollm3::Config& config() const { return model_.config(); }

  // Loaded when they are first asked for, since not every command needs them: each throws base::Error if the file's is
  // broken. Safe from any thread.
  const smollm3::Tokenizer& tokenizer() const;
  const smollm3::ChatTemplate& chat_template() const;

 private:
  gguf::File file_;
  compute::ChosenDevice chosen_;
  smollm3::Model model_;

  mutable std::mutex mutex_;
  mutable std::optional<smollm3::Tokenizer> tokenizer_;
  mutable std::optional<smollm3::ChatTemplate> chat_template_;
};

}  // namespace engine
