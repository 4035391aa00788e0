#include "engine/generation.h"

#include <array>
#include <cstdint>
#include <random>
#include <utility>

namespace engine {
namespace {

std::string random_id() {
  static constexpr char digits[] = "0123456789abcdef";
  std::random_device random;
  std::string id;
  for (int word = 0; word < 3; ++word) {
    std::uint32_t bits = random();
    for (int i = 0; i < 8; ++i, bits >>= 4) id += digits[bits & 15];
  }
  return id;
}

}  // namespace

Generation::Generation(std::shared_ptr<Bell> bell, std::string client)
    : id_(random_id()), client_(std::move(client)), bell_(std::move(bell)) {}

void Generation::cancel() {
  cancel_asked_ = true;
  ring();
}

void Generation::finish_thinking() {
  finish_thinking_asked_ = true;
  ring();
}

void Generation::pause() {
  pause_asked_ = true;
  ring();
}

void Generation::resume() {
  pause_asked_ = false;
  ring();
}

std::shared_ptr<const Transcript> Generation::take_transcript() {
  if (!journal_.over()) return nullptr;
  const std::lock_guard lock(mutex_);
  return std::exchange(transcript_, nullptr);
}

void Generation::set_transcript(std::shared_ptr<const Transcript> transcript) {
  const std::lock_guard lock(mutex_);
  transcript_ = std::move(transcript);
}

void Generation::belongs_to(std::shared_ptr<Bell> bell) {
  const std::lock_guard lock(mutex_);
  bell_ = std::move(bell);
}

void Generation::ring() {
  std::shared_ptr<Bell> bell;
  {
    const std::lock_guard lock(mutex_);
    bell = bell_;
  }
  if (bell) bell->ring();
}

}  // namespace engine
