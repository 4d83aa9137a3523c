// The signature seam: everything that signs or verifies goes through Signer and Verifier, so that
// the simulator can put ideal signatures in their place. Production: Ed25519 (RFC 8032) of
// libsodium, one verification function only (protocol §1.2). Preimage = tag || cluster_id || epoch
// u64 || body. Thread-safety: implementations are immutable after construction and safe to share.
#pragma once

#include <memory>

#include "base/bytes.hpp"
#include "base/tags.hpp"

namespace bftmeta::crypto {

// What every signature is bound to besides its body.
struct Context {
  Hash cluster_id{};
  std::uint64_t epoch = 0;  // 0 for everything that a client signs
};

Bytes preimage(const tags::Tag& tag, const Context& context, ByteView body);

class Signer {
 public:
  virtual ~Signer() = default;
  virtual const PublicKey& public_key() const = 0;
  virtual Signature sign(ByteView preimage) const = 0;

  Signature sign(const tags::Tag& tag, const Context& context, ByteView body) const {
    return sign(preimage(tag, context, body));
  }
};

class Verifier {
 public:
  virtual ~Verifier() = default;
  virtual bool verify(const PublicKey& key, ByteView preimage,
                      const Signature& signature) const = 0;

  bool verify(const PublicKey& key, const tags::Tag& tag, const Context& context, ByteView body,
              const Signature& signature) const {
    return verify(key, preimage(tag, context, body), signature);
  }
};

// 64-byte libsodium secret key (seed || public key); wiped on destruction, never copied.
class Ed25519Signer final : public Signer {
 public:
  explicit Ed25519Signer(const std::array<std::uint8_t, 32>& seed);
  ~Ed25519Signer() override;
  Ed25519Signer(const Ed25519Signer&) = delete;
  Ed25519Signer& operator=(const Ed25519Signer&) = delete;

  const PublicKey& public_key() const override { return public_key_; }
  Signature sign(ByteView preimage) const override;
  using Signer::sign;

 private:
  PublicKey public_key_{};
  std::array<std::uint8_t, 64> secret_{};
};

class Ed25519Verifier final : public Verifier {
 public:
  bool verify(const PublicKey& key, ByteView preimage, const Signature& signature) const override;
  using Verifier::verify;
};

// False for points that are not canonical, not on the curve or of small order; such a key is
// refused wherever a key is registered (protocol §1.2).
bool valid_public_key(const PublicKey& key);

// libsodium's generator; for keys, nonces and salts outside the state machine only.
void random_bytes(std::span<std::uint8_t> out);

}  // namespace bftmeta::crypto
