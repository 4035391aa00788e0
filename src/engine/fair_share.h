// Whose turn it is, where clients ask for more than there is: that of the client that was given the fewest tokens. (The
// virtual token counter of Sheng et al., "Fairness in Serving Large Language Models", 2024.) One that comes, or comes
// back, starts where the one stands that has had the least, so nobody saves up turns. Only the worker's thread uses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>

namespace engine {

class FairShare {
  struct Client {
    std::uint32_t number;
    double tokens = 0;
    std::size_t tickets = 0;
  };

 public:
  // What a token counts that was read, and one that was generated, which takes more of the machine.
  static constexpr double read = 1, generated = 2;

  // Of a generation that wants its turns, for as long as it wants them.
  class Ticket {
   public:
    Ticket() = default;
    Ticket(Ticket&& other) noexcept
        : share_(std::exchange(other.share_, nullptr)), client_(std::exchange(other.client_, nullptr)) {}
    Ticket& operator=(Ticket&& other) noexcept {
      std::swap(share_, other.share_);
      std::swap(client_, other.client_);
      return *this;
    }
    ~Ticket() {
      if (share_ != nullptr) share_->leave(*client_);
    }

    std::uint32_t client() const { return client_->number; }
    double tokens() const { return client_->tokens; }  // that its client was given
    void charge(double tokens) { client_->tokens += tokens; }

   private:
    friend class FairShare;
    Ticket(FairShare& share, Client& client) : share_(&share), client_(&client) {}

    FairShare* share_ = nullptr;
    Client* client_ = nullptr;
  };

  // Must outlive the ticket.
  Ticket join(const std::string& client);

  std::size_t remembered() const { return clients_.size(); }  // clients

 private:
  void leave(Client& client);
  void raise_level();

  std::unordered_map<std::string, Client> clients_;
  std::size_t tickets_ = 0;
  // The fewest tokens that a client with a ticket was given; where none has one, what the last one was given that had.
  // It only rises.
  double level_ = 0;
  std::uint32_t numbers_ = 0;
};

}  // namespace engine
