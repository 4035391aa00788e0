// One conversation in the terminal, and the way to others: what the lines of `smollm3 chat` do.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/answer.h"
#include "cli/chat_server.h"
#include "cli/display.h"

namespace cli {

struct ChatOptions {
  std::string system;  // of conversations that begin here
  bool no_think = false;
  bool go_on = false;  // with the latest conversation
  SamplingOptions sampling;
};

class Conversation {
 public:
  static const char* const help;  // what lines mean, one a line

  Conversation(ChatServer& server, const ChatOptions& options, bool interactive, bool quiet);

  // Opens the conversation that something was said in last; through a pipe, only the answer that is being written in it
  // is shown. Throws base::Error if there is none.
  void open_latest();
  // Does what a line asks for; false to leave. What fails costs that line alone.
  bool take(const std::string& line);
  bool failed() const { return failed_; }  // anything did

 private:
  // An answer on its way, or stopped.
  struct Answering {
    explicit Answering(std::int64_t its_number);

    std::int64_t number;
    Display display;
    std::string last_event_id{};  // as of server::LocalClient::Stream
    std::string last_seen{};      // the same when a stream ended before its time
    engine::Progress progress{};
  };
  enum class Follow {
    FromStart,   // an answer that has just been asked for, or is being written
    AfterOpen,   // the same of another's, which may be paused
    AfterPause,  // where it was left
    ToItsEnd,    // that is near
  };

  bool obey(const std::string& line);
  void begin();
  void list();
  void open(const std::string& which);
  // `silently`: shows nothing of what was said but an answer that is still being written.
  void open(const server::LocalHead& head, bool silently);
  void show(const server::LocalConversation& conversation, std::int64_t after);
  void set_thinking(bool thinking, const std::string& rest);
  void send(const std::string& text);
  void refused(const server::ApiError& refusal);
  void go_on();
  void leave_stopped();
  void follow(Follow how);
  std::optional<server::AnswerUpdate> follow_stream(Follow how);
  std::optional<server::AnswerUpdate> next(std::optional<server::LocalClient::Stream>& stream);
  void take_update(server::AnswerUpdate update);
  void fail(const std::string& message);
  void say(const std::string& text) const;

  ChatServer& server_;
  const ChatOptions& options_;
  bool piped_;        // lines come from a pipe, or answers go to one
  bool interactive_;  // not, and whoever types is to be told more than the answers
  bool quiet_;
  bool thinking_;
  bool failed_ = false;
  bool lost_ = false;  // the server ended while it answered
  std::string id_;
  std::int64_t last_ = 0;                // number of the last message, which the next follows
  bool interrupted_ = false;             // the last answer is, and can be gone on with
  std::optional<Answering> answering_;   // none: the last answer is over
  std::vector<server::LocalHead> list_;  // as it was shown last
};

}  // namespace cli
