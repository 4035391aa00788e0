#include "cli/chat_server.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>
#include <utility>

#include "base/error.h"
#include "cli/answer.h"
#include "cli/data_folder.h"
#include "cli/format.h"
#include "cli/local_listener.h"
#include "cli/model_choice.h"
#include "cli/output.h"
#include "server/engine_slot.h"
#include "server/local_socket.h"
#include "server/log.h"
#include "server/server.h"
#include "store/store.h"

namespace cli {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

// For a server that has just got hold of the conversations to listen, or one that is ending to let go of them.
constexpr auto most_patience = 5s;

bool is_there(const std::string& socket) {
  const int connection = socket.empty() ? -1 : server::LocalSocket::connect(socket);
  if (connection >= 0) ::close(connection);
  return connection >= 0;
}

bool is_kept(const std::string& place) { return place != store::in_memory; }

// Options that only a server that is started here would heed.
std::string options_in_vain(const Globals& globals) {
  std::string names;
  const auto add = [&](const char* name, bool given) {
    if (given) names += (names.empty() ? "" : ", ") + std::string(name);
  };
  add("--device", globals.device != "auto");
  add("--threads", globals.threads != 0);
  add("--ctx", globals.context != 0);
  add("--kv-memory", globals.kv_memory.has_value());
  add("--exact", globals.exact);
  return names;
}

void check_version(const server::LocalModel& model, const std::string& place) {
  if (model.version == SMOLLM3_VERSION) return;
  throw base::Error(base::ErrorKind::Resource, place,
                    fmt::format("the server that has these conversations is of version {}, and this program of {}",
                                printable(model.version), SMOLLM3_VERSION),
                    "end it, and start it again");
}

// A model that was asked for by name is the one that answers.
void check_model(const Globals& globals, const server::LocalModel& model) {
  if (globals.model.empty()) return;
  std::error_code failure;
  if (!model.file.empty() && fs::equivalent(globals.model, model.file, failure)) return;
  open_model(globals);  // throws if it is none
  throw base::Error(globals.model,
                    "the server that has these conversations answers with another model, " + printable(model.name),
                    "leave out --model to talk to that one, end the server, or choose other conversations with --data "
                    "or --temporary");
}

void announce_running(const Globals& globals, const server::LocalModel& model) {
  if (globals.quiet) return;
  const std::string in_vain = options_in_vain(globals);
  if (!in_vain.empty() || globals.model.empty()) {
    write_error(
        dim(STDERR_FILENO, fmt::format("model: {}, of the server that has these conversations{}{}",
                                       printable(model.name), in_vain.empty() ? "" : ", with its own ", in_vain)) +
        "\n");
  }
}

}  // namespace

struct ChatServer::Own {
  // Throws store::Taken if somebody else has the conversations.
  Own(const Globals& globals, const std::string& place)
      : store(place),
        listener(is_kept(place) ? socket_of(place) : std::string()),
        engines([&globals] { return load_engine(globals, {.conversations = 1}); }),
        server(engines, store, {.grace = 0s, .local_socket = listener.release()}, server::Embedded{}),
        thread([this] { server.run(); }) {}
  ~Own() {
    server.stop();
    thread.join();
  }
  Own(const Own&) = delete;
  Own& operator=(const Own&) = delete;

  store::Store store;
  LocalListener listener;
  server::EngineSlot engines;
  server::Server server;
  std::thread thread;
};

ChatServer::ChatServer(const Globals& globals, std::string place) : globals_(globals), place_(std::move(place)) {
  server::log_errors_alone();
  find();
}

ChatServer::~ChatServer() = default;

void ChatServer::find() {
  own_.reset();
  const std::string socket = is_kept(place_) ? socket_of(place_) : std::string();
  for (const auto until = std::chrono::steady_clock::now() + most_patience;;) {
    const bool is_late = std::chrono::steady_clock::now() > until;
    try {
      if (is_there(socket)) return use_running(socket);
      return use_own(std::make_unique<Own>(globals_, place_));
    } catch (const server::ServerGone&) {  // it was just ending
      if (is_late) throw;
    } catch (const store::Taken& taken) {
      if (is_late) {
        throw base::Error(taken.kind(), taken.subject(), taken.why() + ", and does not answer",
                          "end it, or choose another place with --data, or none with --temporary");
      }
    }
    std::this_thread::sleep_for(20ms);
  }
}

void ChatServer::use_running(const std::string& socket) {
  client_ = std::make_unique<server::LocalClient>([socket] { return server::LocalSocket::connect(socket); });
  model_ = client_->model();
  check_version(model_, place_);
  check_model(globals_, model_);
  announce_running(globals_, model_);
}

void ChatServer::use_own(std::unique_ptr<Own> own) {
  own_ = std::move(own);
  client_ = std::make_unique<server::LocalClient>([&server = own_->server] { return server.connect(); });
  model_ = client_->model();
}

}  // namespace cli
