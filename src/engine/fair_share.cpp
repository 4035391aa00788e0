#include "engine/fair_share.h"

#include <algorithm>
#include <limits>

namespace engine {
namespace {

// So many are remembered without looking whether that is worth it.
constexpr std::size_t few_clients = 256;

}  // namespace

void FairShare::raise_level() {
  double least = std::numeric_limits<double>::infinity();
  for (const auto& [name, client] : clients_) {
    if (client.tickets > 0) least = std::min(least, client.tokens);
  }
  if (tickets_ > 0) level_ = std::max(level_, least);
}

FairShare::Ticket FairShare::join(const std::string& client) {
  raise_level();
  if (clients_.size() >= few_clients) {  // those that would start at this level anyway need not be remembered
    std::erase_if(clients_, [this](const auto& one) { return one.second.tickets == 0 && one.second.tokens <= level_; });
  }
  const auto [entry, is_new] = clients_.try_emplace(client, Client{.number = numbers_});
  if (is_new) ++numbers_;
  Client& joining = entry->second;
  if (joining.tickets == 0) joining.tokens = std::max(joining.tokens, level_);
  ++joining.tickets;
  ++tickets_;
  return {*this, joining};
}

void FairShare::leave(Client& client) {
  --client.tickets;
  if (--tickets_ == 0) level_ = std::max(level_, client.tokens);
}

}  // namespace engine
