#include "server/journal_reader.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <thread>

namespace server {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using engine::Generation;

std::shared_ptr<Generation> new_generation() { return std::make_shared<Generation>(nullptr); }

std::string text_of(const engine::Journal::Reading& reading) {
  std::string text;
  for (const engine::Event& event : reading.events) {
    if (const auto* answer = std::get_if<engine::Answer>(&event.what)) text += answer->text;
  }
  return text;
}

Awaitable<void> read_all(std::shared_ptr<Generation> generation, asio::any_io_executor executor, std::uint64_t from,
                         std::string& text, bool& over) {
  JournalReader reader(std::move(generation), executor, from);
  while (!over) {
    const engine::Journal::Reading reading = reader.read();
    text += text_of(reading);
    over = reading.over;
    if (!over) co_await reader.wait(1h);
  }
}

TEST(JournalReader, ReadsWhatAnotherThreadWrites) {
  const auto generation = new_generation();
  std::thread writer([&] {
    for (int i = 0; i < 2000; ++i) generation->journal().append(engine::Answer{std::to_string(i) + ","});
    generation->journal().append(engine::Done{});
  });
  asio::io_context io;
  std::string all, rest;
  bool all_over = false, rest_over = false;
  asio::co_spawn(io, read_all(generation, io.get_executor(), 0, all, all_over), asio::detached);
  asio::co_spawn(io, read_all(generation, io.get_executor(), 0, rest, rest_over), asio::detached);
  io.run();
  writer.join();
  EXPECT_TRUE(all_over && rest_over);
  EXPECT_EQ(all, text_of(generation->journal().read({})));
  EXPECT_EQ(all, rest);
}

TEST(JournalReader, ReadsOnFromAnyEvent) {
  const auto generation = new_generation();
  for (const char* text : {"a", "b", "c"}) generation->journal().append(engine::Answer{text});
  generation->journal().append(engine::Done{});
  const std::string texts[] = {"abc", "bc", "c", "", ""};
  for (std::uint64_t from = 0; from <= 4; ++from) {
    asio::io_context io;
    std::string text;
    bool over = false;
    asio::co_spawn(io, read_all(generation, io.get_executor(), from, text, over), asio::detached);
    io.run();
    EXPECT_TRUE(over);
    EXPECT_EQ(text, texts[from]);
  }
}

TEST(JournalReader, SaysWhetherThereIsMore) {
  const auto generation = new_generation();
  asio::io_context io;
  std::vector<bool> more;
  asio::co_spawn(
      io,
      [&]() -> Awaitable<void> {
        JournalReader reader(generation, io.get_executor());
        more.push_back(co_await reader.wait(5ms));
        generation->journal().append(engine::Answer{"a"});
        more.push_back(co_await reader.wait(1h));
        reader.read();
        more.push_back(co_await reader.wait(5ms));
        generation->journal().report({.generated_tokens = 1});
        more.push_back(co_await reader.wait(1h));
      },
      asio::detached);
  io.run();
  EXPECT_EQ(more, (std::vector<bool>{false, true, false, true}));
}

// A reader may go at any moment while the journal is being written, and then its loop.
TEST(JournalReader, MayVanish) {
  const auto generation = new_generation();
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (std::uint32_t i = 0; !stop; ++i) generation->journal().report({.generated_tokens = i});
  });
  for (int i = 0; i < 200; ++i) {
    std::string text;
    bool over = false;
    asio::io_context io;
    std::array<asio::cancellation_signal, 3> leave;
    for (asio::cancellation_signal& signal : leave) {
      asio::co_spawn(io, read_all(generation, io.get_executor(), 0, text, over),
                     asio::bind_cancellation_slot(signal.slot(), asio::detached));
    }
    for (int turns = 0; turns < i % 7; ++turns) io.poll_one();
    for (asio::cancellation_signal& signal : leave) signal.emit(asio::cancellation_type::terminal);
    io.run();
  }
  stop = true;
  writer.join();
  generation->journal().append(engine::Done{});
}

TEST(JournalReader, SleepsWhileThereIsNothing) {
  const auto generation = new_generation();
  asio::io_context io;
  std::string text;
  bool over = false;
  asio::co_spawn(io, read_all(generation, io.get_executor(), 0, text, over), asio::detached);
  io.run_for(5ms);
  EXPECT_EQ(io.run_for(50ms), 0u);
  generation->journal().append(engine::Done{});
  io.run();
  EXPECT_TRUE(over);
}

}  // namespace
}  // namespace server
