// A worker with an inbox, pages and an invented clock of its own, driven step by step on the test's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>

#include "engine/inbox.h"
#include "engine/loaded_model.h"
#include "engine/worker.h"
#include "smollm3/kv_cache.h"

namespace engine {

class Bench {
 public:
  // `context`: of one conversation; `positions`: of all.
  Bench(LoadedModel& loaded, compute::Precision prompts, std::uint32_t context, std::uint64_t positions,
        std::uint64_t seed)
      : pool_(loaded.device(), loaded.model().kv_shape(quant::Type::F16), positions,
              std::numeric_limits<std::uint64_t>::max()),
        random_(seed),
        worker_(loaded, pool_, context, *inbox_,
                {.step = std::chrono::milliseconds(250), .prompts = prompts, .now = [this] {
                   now_ += std::chrono::microseconds(random_() % 200'000);
                   return now_;
                 }}) {}

  std::shared_ptr<Generation> start(const Request& request) {
    auto generation = std::make_shared<Generation>(inbox_, request.asker.client);
    inbox_->put({generation, request, nullptr, now_});
    return generation;
  }

  Worker& worker() { return worker_; }

 private:
  smollm3::PagePool pool_;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::mt19937_64 random_;
  Clock::time_point now_{};
  Worker worker_;
};

}  // namespace engine
