// What is believed without proof, and what was proven since. A TrustAnchor is the cluster's genesis
// and nothing that a server said: cluster id and member keys are computed from its bytes.
// Certificates remembers which certificates hold (so that each is verified once) and the newest of
// them, which never goes back, across restarts too (save and restore). Thread-safety: TrustAnchor
// is an immutable value; a Certificates belongs to one thread.
#pragma once

#include <map>

#include "messages/certificate.hpp"

namespace bftmeta::verify {

struct TrustAnchor {
  Hash cluster_id{};
  config::Config config;

  static TrustAnchor of(const config::Genesis& genesis);
  // From the bytes of `bftadm genesis --canonical`. Errc::malformed, or Errc::config.
  static Result<TrustAnchor> from_genesis(ByteView canonical);
};

class Certificates {
 public:
  // `verifier` outlives this. Keeps the `capacity` certificates with the highest numbers.
  Certificates(const crypto::Verifier& verifier, TrustAnchor anchor,
               std::size_t capacity = kDefaultCapacity);

  const TrustAnchor& anchor() const { return anchor_; }

  // Ok if the certificate holds; 2f+1 signature checks unless an equal body was checked before.
  // Errc::unverified, also when another body of the same seq is certified (more than f faults).
  Status check(const messages::RootCert& cert);

  // The checked certificate of this seq, if it is still remembered.
  const messages::RootCert* find(messages::Seq seq) const;
  // The checked certificate with the highest seq; nullptr before the first.
  const messages::RootCert* newest() const;
  messages::Seq newest_seq() const { return newest() == nullptr ? 0 : newest()->body.seq; }

  // The newest certificate as bytes for a state file (empty before the first), and its way back.
  // restore verifies the signatures anew. Errc::malformed or Errc::unverified.
  Bytes save() const;
  Status restore(ByteView saved);

 private:
  // Certificates live a few batches; more than this only matters to an answer that is seconds old.
  static constexpr std::size_t kDefaultCapacity = 256;

  const crypto::Verifier* verifier_;
  TrustAnchor anchor_;
  std::size_t capacity_;
  std::map<messages::Seq, messages::RootCert> checked_;
};

}  // namespace bftmeta::verify
