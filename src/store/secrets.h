// What proves who somebody is, and how it is kept: whoever reads the database can use none of it. All are safe from any
// thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace store {

// Argon2id, by libsodium's crypto_pwhash_str with its limits for interactive use: 2 passes over 64 MiB. Both take about
// a tenth of a second, and throw base::Error (Resource) if there is not that much memory.
std::string hash_password(const std::string& password);
bool password_matches(const std::string& hash, const std::string& password);
// A hash that no password has, and that takes as long as any to find that out.
std::string hash_of_no_password();

// Something that only its holder has: the cookie of a sign-in, or an API key.
struct Token {
  std::string id{};      // by which it is found; 12 hexadecimal digits
  std::string secret{};  // 256 random bits, as hexadecimal digits

  std::string text() const { return id + secret; }
};

Token random_token();
// None if the text is not of that form.
std::optional<Token> parse_token(std::string_view text);

// As it is kept. A fast hash (BLAKE2b) is right here, other than for passwords: what is slow is to hold up whoever
// guesses, and nobody guesses 256 random bits, however fast.
std::string digest_of(const Token& token);
// Takes as long wherever they differ, so that time tells nobody how much of a guess is right.
bool digest_matches(const std::string& digest, const Token& token);

}  // namespace store
