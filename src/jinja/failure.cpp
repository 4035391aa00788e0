#include "jinja/failure.h"

namespace jinja {
namespace {

constexpr std::size_t bytes_per_step = 16;

thread_local Budget* current = nullptr;

}  // namespace

Budget::Budget(std::size_t steps, std::size_t max_text) : left_(steps), max_text_(max_text), outer_(current) {
  current = this;
}

Budget::~Budget() { current = outer_; }

void Budget::spend(std::size_t steps) {
  if (current == nullptr) return;
  if (steps > current->left_) {
    current->left_ = 0;
    throw Failure("it takes more steps than a template may", "look for a loop that grows without end");
  }
  current->left_ -= steps;
}

void Budget::spend_text(std::size_t bytes) {
  if (current == nullptr) return;
  if (bytes > current->max_text_) {
    throw Failure(
        concat("a text of ", bytes, " bytes is longer than the ", current->max_text_, " a template may make"));
  }
  spend_reading(bytes);
}

void Budget::spend_reading(std::size_t bytes) { spend(bytes / bytes_per_step); }

}  // namespace jinja
