// The Curve25519 key pair of one CURVE link endpoint (replica, client or admin): the identity of a
// peer on the wire. Never converted from or to an Ed25519 key. Thread-safety: plain value; whoever
// holds the last copy wipes it (wipe).
#pragma once

#include "base/bytes.hpp"

namespace bftmeta::crypto {

struct LinkKey {
  PublicKey public_key{};
  std::array<std::uint8_t, 32> secret{};
};

// A new pair from libsodium's generator.
LinkKey generate_link_key();
// The pair of a stored secret: public_key = X25519(secret, base point).
LinkKey link_key_from_secret(const std::array<std::uint8_t, 32>& secret);
void wipe(LinkKey& key);

}  // namespace bftmeta::crypto
