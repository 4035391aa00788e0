#include "server/local_client.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cerrno>
#include <cstring>
#include <deque>
#include <string_view>
#include <utility>

#include "server/api_error.h"

namespace server {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

// A server answers within milliseconds, one that is just loading its model once it has.
constexpr auto most_patience = std::chrono::seconds(30);

ServerGone gone() { return {base::ErrorKind::Resource, "chat", "the server has ended"}; }

class Socket {
 public:
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  ~Socket() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  void send(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t sent = ::send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) throw gone();
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  // Empty at the other end's end; none if nothing came.
  std::optional<std::string_view> receive(std::chrono::milliseconds patience) {
    pollfd ready{.fd = descriptor_, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, static_cast<int>(patience.count())) <= 0) return std::nullopt;
    const ssize_t received = ::recv(descriptor_, buffer_.data(), buffer_.size(), 0);
    if (received < 0 && errno == EINTR) return std::nullopt;
    return std::string_view(buffer_.data(), received > 0 ? static_cast<std::size_t>(received) : 0);
  }

 private:
  int descriptor_;
  std::array<char, 64 << 10> buffer_{};
};

// One request and its response, as it comes.
class Call {
 public:
  Call(int descriptor, const std::string& method, const std::string& path, const std::string& body,
       const std::string& last_event_id)
      : socket_(descriptor) {
    if (descriptor < 0) throw gone();
    parser_.body_limit(boost::none);
    std::string head = fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n",
                                   method, path, body.size());
    if (!last_event_id.empty()) head += "Last-Event-ID: " + last_event_id + "\r\n";
    socket_.send(head + "\r\n" + body);
  }

  bool over() const { return parser_.is_done(); }
  bool has_head() const { return parser_.is_header_done(); }
  unsigned status() const { return parser_.get().result_int(); }
  std::string take_body() { return std::exchange(parser_.get().body(), {}); }

  // False if nothing came. Throws ServerGone if the connection ends before the response does.
  bool receive(std::chrono::milliseconds patience) {
    const auto received = socket_.receive(patience);
    if (!received) return false;
    if (received->empty()) throw gone();
    unparsed_ += *received;
    while (!unparsed_.empty() && !parser_.is_done()) {
      error_code error;
      const std::size_t parsed = parser_.put(boost::asio::buffer(unparsed_), error);
      unparsed_.erase(0, parsed);
      if (error == http::error::need_more || (!error && parsed == 0)) break;
      if (error) throw gone();
    }
    return true;
  }

  void receive_all() {
    const auto until = Clock::now() + most_patience;
    while (!over()) {
      if (receive(std::chrono::milliseconds(100)) || Clock::now() < until) continue;
      throw ServerGone(base::ErrorKind::Resource, "chat", "the server does not answer",
                       "wait until it has less to do, or end it");
    }
  }

 private:
  Socket socket_;
  http::response_parser<http::string_body> parser_;
  std::string unparsed_;
};

[[noreturn]] void throw_refusal(unsigned status, const std::string& body) {
  const json object = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object() || !object.contains("error")) throw ApiError(status, "the server refuses this");
  const json& error = object["error"];
  const json code = error.value("code", json());
  throw ApiError(status, error.value("message", ""), {}, code.is_string() ? code.get<std::string>() : std::string());
}

}  // namespace

struct LocalClient::Stream::State {
  State(int descriptor, const std::string& path, const std::string& from)
      : call(descriptor, "GET", path, {}, from), last_event_id(from) {}

  Call call;
  std::string text{};  // of events that are not whole yet
  std::string last_event_id;
  bool ended = false;  // its answer has
  std::deque<AnswerUpdate> updates{};

  // An event: its lines, without the empty one that ends it.
  void take(std::string_view event) {
    std::string data, name, id;
    while (!event.empty()) {
      const std::size_t end = std::min(event.find('\n'), event.size());
      const std::string_view line = event.substr(0, end);
      event.remove_prefix(std::min(end + 1, event.size()));
      if (line.starts_with("data: ")) data = line.substr(6);  // JSON is one line
      if (line.starts_with("event: ")) name = line.substr(7);
      if (line.starts_with("id: ")) id = line.substr(4);
    }
    if (!name.empty() || data.empty()) return;  // what is named says what its data says already
    updates.push_back(answer_update_from(data));
    last_event_id = std::move(id);
    ended = ended || updates.back().done;
  }

  void take_all(std::string_view piece) {
    text += piece;
    for (std::size_t end; (end = text.find("\n\n")) != std::string::npos; text.erase(0, end + 2)) {
      take(std::string_view(text).substr(0, end));
    }
  }
};

LocalClient::Stream::Stream(std::unique_ptr<State> state) : state_(std::move(state)) {}
LocalClient::Stream::Stream(Stream&& other) noexcept = default;
LocalClient::Stream::~Stream() = default;

const std::string& LocalClient::Stream::last_event_id() const { return state_->last_event_id; }

std::optional<AnswerUpdate> LocalClient::Stream::next(std::chrono::milliseconds patience) {
  State& state = *state_;
  if (state.updates.empty()) {
    if (state.call.over() || state.ended) throw gone();
    if (!state.call.receive(patience) || !state.call.has_head()) return std::nullopt;
    if (state.call.status() != 200) {
      state.call.receive_all();
      throw_refusal(state.call.status(), state.call.take_body());
    }
    state.take_all(state.call.take_body());
    if (state.updates.empty()) return std::nullopt;
  }
  std::optional<AnswerUpdate> update = std::move(state.updates.front());
  state.updates.pop_front();
  return update;
}

json LocalClient::ask(const std::string& method, const std::string& path, const std::string& body) {
  Call call(connect_(), method, path, body, {});
  call.receive_all();
  if (call.status() != 200) throw_refusal(call.status(), call.take_body());
  return json::parse(call.take_body());
}

LocalModel LocalClient::model() { return ask("GET", "/local/model").get<LocalModel>(); }

std::vector<LocalHead> LocalClient::list() { return ask("GET", "/local/conversations").get<std::vector<LocalHead>>(); }

LocalConversation LocalClient::read(const std::string& id) {
  return ask("GET", "/local/c/" + id).get<LocalConversation>();
}

std::int64_t LocalClient::send(const std::string& id, const Message& message) {
  return ask("POST", "/local/c/" + id + "/messages", message_json(message).dump()).at("number").get<std::int64_t>();
}

void LocalClient::steer(const std::string& id, const std::string& action) {
  ask("POST", "/local/c/" + id + "/" + action);
}

bool LocalClient::go_on(const std::string& id) {
  return ask("POST", "/local/c/" + id + "/continue").at("goes_on").get<bool>();
}

LocalClient::Stream LocalClient::follow(const std::string& id, std::int64_t number, const std::string& last_event_id) {
  const std::string path = "/local/c/" + id + "/stream/" + std::to_string(number);
  return Stream(std::make_unique<Stream::State>(connect_(), path, last_event_id));
}

}  // namespace server
