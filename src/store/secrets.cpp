#include "store/secrets.h"

#include <sodium.h>

#include <array>
#include <cerrno>

#include "base/error.h"

namespace store {
namespace {

using base::Error;
using base::ErrorKind;

constexpr std::size_t id_digits = 12, secret_digits = 64;
constexpr auto passes = crypto_pwhash_OPSLIMIT_INTERACTIVE;
constexpr auto memory = crypto_pwhash_MEMLIMIT_INTERACTIVE;

void need_sodium() {
  static const bool ready = sodium_init() >= 0;
  if (!ready) throw Error(ErrorKind::Resource, "libsodium", "cannot be used: there is no source of random numbers");
}

Error no_memory() {
  return {ErrorKind::Resource, "password", "there is not enough memory to check it", "close other programs"};
}

template <std::size_t bytes>
std::string hex_of(const std::array<unsigned char, bytes>& data) {
  std::array<char, 2 * bytes + 1> hex{};
  sodium_bin2hex(hex.data(), hex.size(), data.data(), data.size());
  return hex.data();
}

template <std::size_t digits>
std::string random_digits() {
  std::array<unsigned char, digits / 2> random{};
  randombytes_buf(random.data(), random.size());
  return hex_of(random);
}

}  // namespace

std::string hash_password(const std::string& password) {
  need_sodium();
  std::array<char, crypto_pwhash_STRBYTES> hash{};
  if (crypto_pwhash_str(hash.data(), password.data(), password.size(), passes, memory) != 0) throw no_memory();
  return hash.data();
}

bool password_matches(const std::string& hash, const std::string& password) {
  need_sodium();
  errno = 0;
  if (crypto_pwhash_str_verify(hash.c_str(), password.data(), password.size()) == 0) return true;
  if (errno == ENOMEM) throw no_memory();
  return false;
}

std::string hash_of_no_password() {
  return "$argon2id$v=19$m=65536,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
}

Token random_token() {
  need_sodium();
  return {.id = random_digits<id_digits>(), .secret = random_digits<secret_digits>()};
}

std::optional<Token> parse_token(std::string_view text) {
  if (text.size() != id_digits + secret_digits) return std::nullopt;
  if (text.find_first_not_of("0123456789abcdef") != std::string_view::npos) return std::nullopt;
  return Token{.id = std::string(text.substr(0, id_digits)), .secret = std::string(text.substr(id_digits))};
}

std::string digest_of(const Token& token) {
  need_sodium();
  std::array<unsigned char, crypto_generichash_BYTES> digest{};
  const std::string text = token.text();
  crypto_generichash(digest.data(), digest.size(), reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                     nullptr, 0);
  return hex_of(digest);
}

bool digest_matches(const std::string& digest, const Token& token) {
  const std::string expected = digest_of(token);
  return digest.size() == expected.size() && sodium_memcmp(digest.data(), expected.data(), expected.size()) == 0;
}

}  // namespace store
