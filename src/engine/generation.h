// One turn on its way: the only object that the thread which asks and the worker's thread both touch.
//
//              start()                 admitted               first token
//   (asked) ───────────▶  Queued  ───────────────▶  Reading ───────────────▶  Writing
//                          │   ▲                     │   │                     │   │
//                          │   └─────────────────────┘───│─────────────────────┘   │   preempted
//                          │                             │                         │
//                          └─────────────▶  Done  ◀──────┴─────────────────────────┘
//                       cancelled, failed, and: the model ended, a stop text, a limit
//
//   Queued → Reading    Worker::admit         pages for the prompt are free
//   Reading → Writing   Worker::draw          the prompt's last token was computed
//   … → Queued          Worker::preempt       its pages are given to older ones; it is read again later
//   Queued → Writing    Worker::admit         begun again, and all but its last tokens were kept
//   … → Done            Worker::end           or, before it came to the worker, Preparer, or whoever replaces the
//   engine
//
// The state is told by the Journal's progress. Done is final, and is always reached: a cancelled generation gets there
// within a step of the worker, or when the preparing thread, if that is at it, is done with it.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "engine/journal.h"

namespace engine {

// Tells the engine that somebody wants something of a generation. Outlives the engine, where a generation does.
class Bell {
 public:
  virtual ~Bell() = default;
  virtual void ring() = 0;
};

class Generation {
 public:
  explicit Generation(std::shared_ptr<Bell> bell);
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // All are safe from any thread.
  const std::string& id() const { return id_; }  // 24 hexadecimal digits that nobody can guess
  Journal& journal() { return journal_; }
  const Journal& journal() const { return journal_; }
  State state() const { return journal_.progress().state; }

  // Ends it soon, with Finish::Cancelled and what was written until then.
  void cancel();
  // Has the model stop thinking and answer at once; without effect once it answers.
  void finish_thinking();

  // For the engine.
  bool cancel_asked() const { return cancel_asked_; }
  bool finish_thinking_asked() const { return finish_thinking_asked_; }
  void belongs_to(std::shared_ptr<Bell> bell);

 private:
  void ring();

  std::string id_;
  Journal journal_;
  std::atomic<bool> cancel_asked_{false};
  std::atomic<bool> finish_thinking_asked_{false};
  std::mutex mutex_;
  std::shared_ptr<Bell> bell_;
};

}  // namespace engine
