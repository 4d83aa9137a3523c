// Ideal signatures for the simulator: a signature is a hash over key and preimage that only the
// key's Signer object makes. Nobody in the simulator computes another key's, so forgery is
// impossible by construction, at a hundredth of the price of Ed25519.
#pragma once

#include "crypto/hash.hpp"
#include "crypto/signer.hpp"

namespace bftmeta::sim {

inline Signature ideal_signature(const PublicKey& key, ByteView preimage) {
  const Hash h =
      crypto::Hasher(tags::Domain::key_fingerprint).update(key).update(preimage).finish();
  Signature s{};
  std::copy(h.begin(), h.end(), s.begin());
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
    return signature == ideal_signature(key, preimage);
  }
  using Verifier::verify;
};

}  // namespace bftmeta::sim
