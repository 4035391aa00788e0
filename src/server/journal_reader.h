// Follows a generation's Journal from a coroutine. Nobody waits for a reader: the thread that writes the journal only
// posts a wake to the reader's executor, and a reader that has nothing to read costs nothing until then.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstdint>
#include <memory>

#include "engine/generation.h"
#include "server/exchange.h"

namespace server {

// For coroutines on one thread, that of `executor`. May go at any moment, also within wait().
class JournalReader {
 public:
  // Reads what follows event number `from`. The executor's context must outlive the reader; the generation need not
  // outlive anything, nor the engine that writes it.
  JournalReader(std::shared_ptr<engine::Generation> generation, const boost::asio::any_io_executor& executor,
                std::uint64_t from = 0);
  ~JournalReader();
  JournalReader(const JournalReader&) = delete;
  JournalReader& operator=(const JournalReader&) = delete;

  // What came since the last call.
  engine::Journal::Reading read();
  // Until there is more to read; false if there is none after `patience`.
  Awaitable<bool> wait(std::chrono::milliseconds patience);

 private:
  struct Alarm;

  std::shared_ptr<engine::Generation> generation_;
  engine::Journal::Place place_;
  std::shared_ptr<Alarm> alarm_;
  engine::Journal::Watch watch_;  // goes before the journal does
};

}  // namespace server
