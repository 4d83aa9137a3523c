// Remembers which signatures hold, so that one is verified at most once whatever the path by which
// it comes (client, FORWARD, PRE-PREPARE, re-proposal, certificate, VIEW-CHANGE; protocol §2.1).
// Only positive results are kept, under sha256(key || signature || preimage): a bad signature can
// push nothing out, and garbage beside a good one changes nothing for the good one. Two generations
// of at most `capacity` entries each: when the young one is full it becomes the old one and the old
// one is dropped, so memory is bounded and what is in use stays. Thread-safety: may be shared.
#pragma once

#include <mutex>
#include <unordered_set>

#include "crypto/signer.hpp"

namespace bftmeta::crypto {

class CachingVerifier final : public Verifier {
 public:
  // `verifier` does the work and must outlive this. capacity > 0: entries of one generation, about
  // 100 bytes each.
  CachingVerifier(const Verifier& verifier, std::size_t capacity);

  bool verify(const PublicKey& key, ByteView preimage, const Signature& signature) const override;
  using Verifier::verify;

  std::size_t size() const;  // entries held, at most 2 * capacity

 private:
  // Whoever makes signatures chooses entries, but cannot know in which bucket they land.
  struct SecretBucket {
    SecretBucket();
    std::uint64_t mask = 0;
    std::uint64_t factor = 0;
    std::size_t operator()(const Hash& entry) const;
  };
  using Entries = std::unordered_set<Hash, SecretBucket>;

  bool remembered(const Hash& entry) const;
  void remember(const Hash& entry) const;
  void insert(const Hash& entry) const;  // with the mutex held

  const Verifier& verifier_;
  const std::size_t capacity_;
  mutable std::mutex mutex_;  // never held while a signature is verified
  mutable Entries young_;
  mutable Entries old_;
};

}  // namespace bftmeta::crypto
