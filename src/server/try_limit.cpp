#include "server/try_limit.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>

namespace server {
namespace {

constexpr std::size_t places = 1 << 16;  // half a megabyte

}  // namespace

TryLimit::TryLimit(Rate rate, const Key& key) : rate_(rate), key_(key), places_(places) {
  static_assert(sizeof(Key) == crypto_shorthash_KEYBYTES);
}

TryLimit::Key TryLimit::random_key() {
  Key key{};
  randombytes_buf(key.data(), key.size());
  return key;
}

TryLimit::Time& TryLimit::place_of(std::string_view who) {
  std::array<unsigned char, crypto_shorthash_BYTES> hash{};
  crypto_shorthash(hash.data(), reinterpret_cast<const unsigned char*>(who.data()), who.size(), key_.data());
  std::uint64_t number = 0;
  std::memcpy(&number, hash.data(), sizeof number);
  return places_[number % places_.size()];
}

std::chrono::seconds TryLimit::take(std::string_view who, Time now) {
  Time& full = place_of(who);
  const Time next = std::max(full, now) + rate_.each;
  const auto wait = next - now - rate_.at_once * rate_.each;
  if (wait > Time::duration::zero()) return std::chrono::ceil<std::chrono::seconds>(wait);
  full = next;
  return std::chrono::seconds(0);
}

void TryLimit::give_back(std::string_view who) { place_of(who) -= rate_.each; }

}  // namespace server
