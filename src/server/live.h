// The answers that are under way in this process: which generation writes which message of the store. Everything else
// about a conversation is in the store. For the event loop's thread; each has its Recorder, on the store's thread.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <string>

#include "engine/generation.h"
#include "server/exchange.h"
#include "server/model_facts.h"
#include "server/recorder.h"
#include "store/store.h"

namespace server {

struct LiveAnswer {
  std::string account{};                           // whose it is
  std::shared_ptr<engine::Generation> generation;  // never null
  std::shared_ptr<const ModelFacts> facts;         // of the model that was asked; never null
  int epoch = 0;                                   // as of store::Unfinished
};

class LiveAnswers {
 public:
  // `store` must outlive this.
  explicit LiveAnswers(store::Store& store) : store_(store), recorder_(std::make_shared<Recorder>()) {}

  // From now on the answer is found, and recorded, until its end is in the store. `tokens` and `last_event`: what is in
  // the store already.
  void add(const store::AnswerId& id, LiveAnswer answer, std::size_t tokens = 0, std::uint64_t last_event = 0);
  // Null if it is not under way here. of(): any of this conversation.
  const LiveAnswer* find(const store::AnswerId& id) const;
  const LiveAnswer* of(const std::string& conversation) const;

  bool empty() const { return answers_.empty(); }

  // Records what there is every 0.4 s, while anything is under way; until let_go().
  Awaitable<void> record();
  // Records once, what is of this conversation. Throws base::Error if the database fails.
  Awaitable<void> settle(std::string conversation);
  // Records once more, as far as the database can, and then nothing: whatever becomes of the answers, they are open in
  // the store, and gone on with when the server starts again.
  Awaitable<void> let_go();
  bool gone() const { return gone_; }

 private:
  void forget(const std::vector<store::AnswerId>& over);
  void wake();

  store::Store& store_;
  std::shared_ptr<Recorder> recorder_;  // of the store's thread
  std::map<store::AnswerId, LiveAnswer> answers_;
  boost::asio::steady_timer* pause_ = nullptr;  // of record(), while it runs
  bool failing_ = false;                        // the database did, the last time
  bool gone_ = false;
};

}  // namespace server
