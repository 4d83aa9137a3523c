#include "crypto/signer.hpp"

#include <sodium.h>

#include "base/assert.hpp"

namespace bftmeta::crypto {

namespace {
void init_sodium() {
  static const bool ready = sodium_init() >= 0;
  BFTMETA_ASSERT(ready);
}
}  // namespace

Bytes preimage(const tags::Tag& tag, const Context& context, ByteView body) {
  Bytes out;
  out.reserve(tag.size() + context.cluster_id.size() + 8 + body.size());
  out.insert(out.end(), tag.begin(), tag.end());
  out.insert(out.end(), context.cluster_id.begin(), context.cluster_id.end());
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<std::uint8_t>(context.epoch >> (8 * i)));
  out.insert(out.end(), body.begin(), body.end());
  return out;
}

Ed25519Signer::Ed25519Signer(const std::array<std::uint8_t, 32>& seed) {
  init_sodium();
  BFTMETA_ASSERT(crypto_sign_seed_keypair(public_key_.data(), secret_.data(), seed.data()) == 0);
}

Ed25519Signer::~Ed25519Signer() { sodium_memzero(secret_.data(), secret_.size()); }

Signature Ed25519Signer::sign(ByteView preimage) const {
  Signature out;
  BFTMETA_ASSERT(crypto_sign_detached(out.data(), nullptr, preimage.data(), preimage.size(),
                                      secret_.data()) == 0);
  return out;
}

bool Ed25519Verifier::verify(const PublicKey& key, ByteView preimage,
                             const Signature& signature) const {
  init_sodium();
  return crypto_sign_verify_detached(signature.data(), preimage.data(), preimage.size(),
                                     key.data()) == 0;
}

bool valid_public_key(const PublicKey& key) {
  init_sodium();
  return crypto_core_ed25519_is_valid_point(key.data()) == 1;
}

void random_bytes(std::span<std::uint8_t> out) {
  init_sodium();
  randombytes_buf(out.data(), out.size());
}

}  // namespace bftmeta::crypto
