#include "engine/fair_share.h"

#include <algorithm>
#include <limits>

namespace engine {
namespace {

// So many are remembered without looking whether that is worth it.
constexpr std::size_t few_clients = 256;

}  // namespace

double FairShare::least() const {
  double least = std::numeric_limits<double>::infinity();
  for (const auto& [name, client] : clients_) {
    if (client.tickets > 0) least = std::min(least, client.tokens);
  }
  return least == std::numeric_limits<double>::infinity() ? 0 : least;
}

FairShare::Ticket FairShare::join(const std::string& client) {
  const double from = least();
  if (clients_.size() >= few_clients) {  // those that would start there anyway need not be remembered
    std::erase_if(clients_,
                  [&](const auto& entry) { return entry.second.tickets == 0 && entry.second.tokens <= from; });
  }
  const auto [entry, is_new] = clients_.try_emplace(client, Client{.number = numbers_});
  if (is_new) ++numbers_;
  Client& joining = entry->second;
  if (joining.tickets == 0) joining.tokens = std::max(joining.tokens, from);
  return Ticket(joining);
}

}  // namespace engine
