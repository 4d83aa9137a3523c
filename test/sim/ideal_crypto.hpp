// Ideal signatures for the simulator: a signature is a hash over key and preimage that only the
// key's Signer object makes. Nobody in the simulator computes another key's, so forgery is
// impossible by construction, at a hundredth of the price of Ed25519.
#pragma once

#include "crypto/hash.hpp"
#include "crypto/signer.hpp"

namespace bftmeta::sim {

// The owner of a key can sign the same bytes in many ways; `variant` tells them apart.
inline Signature ideal_signature(const PublicKey& key, ByteView preimage,
                                 std::uint8_t variant = 0) {
  const Hash h = crypto::Hasher(tags::Domain::key_fingerprint)
                     .update(key)
                     .update_u8(variant)
                     .update(preimage)
                     .finish();
  Signature s{};
  std::copy(h.begin(), h.end(), s.begin());
  s.back() = variant;
  return s;
}

class IdealSigner final : public crypto::Signer {
 public:
  explicit IdealSigner(const PublicKey& key) : key_(key) {}
  const PublicKey& public_key() const override { return key_; }
  Signature sign(ByteView preimage) const override { return ideal_signature(key_, preimage); }
  using Signer::sign;

 private:
  PublicKey key_;
};

class IdealVerifier final : public crypto::Verifier {
 public:
  bool verify(const PublicKey& key, ByteView preimage, const Signature& signature) const override {
    return signature == ideal_signature(key, preimage, signature.back());
  }
  using Verifier::verify;
};

}  // namespace bftmeta::sim
