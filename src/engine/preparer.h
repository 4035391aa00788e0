// The preparing thread: takes turns in the order in which they came, renders and tokenises each, and passes it on to
// the worker's inbox, or to whoever wants to have it first. So neither who asks nor who computes waits for templates.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/arrival.h"
#include "engine/inbox.h"
#include "engine/loaded_model.h"
#include "engine/prepared.h"
#include "engine/turn.h"

namespace engine {

// Takes those out that were cancelled, and ends them.
void end_cancelled(std::deque<Unbegun>& turns, std::unique_lock<std::mutex> lock);

// Throws base::Error if the request cannot be answered: TooLong if it does not fit into `context` positions, or its own
// room.
void check_request(const Request& request, const smollm3::Tokenizer& tokenizer, std::size_t context);

class Preparer : public Bell {
 public:
  // The model must outlive close(). `context`: positions a conversation may have. `system`: as of prepare().
  Preparer(const LoadedModel& loaded, std::size_t context, std::string system = {});
  ~Preparer() override { close(); }

  // All are safe from any thread, also after close().
  void put(Unbegun turn);
  // A turn that was cancelled before its time ends here, on the calling thread; of all others the inbox is told.
  void ring() override;
  std::size_t waiting() const;
  std::vector<Unbegun> hand_back();  // those that wait; returns when none is being prepared
  void close();                      // ends the thread, and what waits, with Finish::Cancelled

  Inbox& inbox() { return *inbox_; }

 private:
  void work();
  void prepare_one(const Unbegun& turn);
  std::optional<Prepared> prepared_of(const Unbegun& turn) const;

  const LoadedModel& loaded_;
  std::size_t context_;
  std::string system_;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Unbegun> queue_;
  bool preparing_ = false;  // one that is no longer in the queue
  bool closed_ = false;
  std::thread thread_;
};

}  // namespace engine
