// One turn on its way: the only object that the thread which asks and the worker's thread both touch.
//
//              start()                 admitted               first token
//   (asked) ───────────▶  Queued  ───────────────▶  Reading ───────────────▶  Writing
//                          │   ▲                     │   │                     │   │
//                          │   └─────────────────────┘───│─────────────────────┘   │   preempted
//                          │                             │                         │
//                          └─────────────▶  Done  ◀──────┴─────────────────────────┘
//                       cancelled, failed, and: the model ended, a stop text, a limit, its deadline
//
//   Queued, Reading, Writing ⇄ Paused      pause(), resume(): it takes its turn again as if it had been preempted
//
//   Queued → Reading    Worker::admit         pages for the prompt are free
//   Reading → Writing   Worker::draw          the prompt's last token was computed
//   … → Queued          Worker::preempt       its pages are given to older ones; it is read again later
//   Queued → Writing    Worker::admit         begun again, and all but its last tokens were kept
//   … → Paused          Worker::pause_and_resume     its pages stay in the prefix cache until others need them
//   Paused → Queued     Worker::pause_and_resume
//   … → Done            Worker::end           or, before it came to the worker, Preparer, Prepared, or whoever replaces
//                                             the engine
//
// The state is told by the Journal's progress. Done is final, and is always reached: a cancelled generation gets there
// within a step of the worker, or when the preparing thread, if that is at it, is done with it, or when the Prepared
// that it is in is started or dropped.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "engine/journal.h"
#include "engine/transcript.h"

namespace engine {

// Tells the engine that somebody wants something of a generation. Outlives the engine, where a generation does.
class Bell {
 public:
  virtual ~Bell() = default;
  virtual void ring() = 0;
};

class Generation {
 public:
  // `client`: as of Asker.
  explicit Generation(std::shared_ptr<Bell> bell, std::string client = {});
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // All are safe from any thread.
  const std::string& client() const { return client_; }
  const std::string& id() const { return id_; }  // 24 hexadecimal digits that nobody can guess
  Journal& journal() { return journal_; }
  const Journal& journal() const { return journal_; }
  State state() const { return journal_.progress().state; }

  // Ends it soon, with Finish::Cancelled and what was written until then.
  void cancel();
  // Has the model stop thinking and answer at once; without effect once it answers.
  void finish_thinking();
  // Nothing is computed for it until it is resumed; however late that is, it goes on with the same bytes. It gives up
  // the room that it takes as soon as others need it.
  void pause();
  void resume();
  // All its tokens, once it is over: for the next turn (Turn::before). Null before, and after the first call.
  std::shared_ptr<const Transcript> take_transcript();

  // For the engine.
  bool cancel_asked() const { return cancel_asked_; }
  bool finish_thinking_asked() const { return finish_thinking_asked_; }
  bool pause_asked() const { return pause_asked_; }
  void set_transcript(std::shared_ptr<const Transcript> transcript);  // before Done is appended
  void belongs_to(std::shared_ptr<Bell> bell);

 private:
  void ring();

  std::string id_;
  std::string client_;
  Journal journal_;
  std::atomic<bool> cancel_asked_{false};
  std::atomic<bool> finish_thinking_asked_{false};
  std::atomic<bool> pause_asked_{false};
  std::mutex mutex_;  // of what follows
  std::shared_ptr<Bell> bell_;
  std::shared_ptr<const Transcript> transcript_;
};

}  // namespace engine
