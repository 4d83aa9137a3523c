#include "crypto/link_key.hpp"

#include <sodium.h>

#include "base/assert.hpp"
#include "crypto/signer.hpp"

namespace bftmeta::crypto {

LinkKey generate_link_key() {
  std::array<std::uint8_t, 32> secret{};
  random_bytes(secret);
  LinkKey key = link_key_from_secret(secret);
  sodium_memzero(secret.data(), secret.size());
  return key;
}

LinkKey link_key_from_secret(const std::array<std::uint8_t, 32>& secret) {
  LinkKey key;
  key.secret = secret;
  BFTMETA_ASSERT(crypto_scalarmult_base(key.public_key.data(), secret.data()) == 0);
  return key;
}

void wipe(LinkKey& key) { sodium_memzero(key.secret.data(), key.secret.size()); }

}  // namespace bftmeta::crypto
