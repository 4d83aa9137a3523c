// What is believed without proof, and what was proven since. A TrustAnchor is the cluster's genesis
// and nothing that a server said: cluster id and member keys are computed from its bytes. The chain
// of epochs leads from there to the members of today (protocol §9.3). Certificates remembers which
// certificates hold (so that each is verified once) and the newest of them, which never goes back,
// across restarts too (save and restore). Thread-safety: TrustAnchor is an immutable value; a
// Certificates belongs to one thread.
#pragma once

#include <map>
#include <span>

#include "config/change.hpp"
#include "messages/certificate.hpp"

namespace bftmeta::verify {

struct TrustAnchor {
  Hash cluster_id{};
  config::Config config;  // of the genesis, or of the epoch that follow() led to

  static TrustAnchor of(const config::Genesis& genesis);
  // From the bytes of `bftadm genesis --canonical`. Errc::malformed, or Errc::config.
  static Result<TrustAnchor> from_genesis(ByteView canonical);

  // The next epoch: its configuration replaces this one, whose keys are worth nothing from here on.
  // Errc::unverified: the members of both did not sign it, or it is no possible step.
  Status follow(const crypto::Verifier& verifier, const messages::EpochStep& step);
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

  // Goes on to the epoch behind `steps`, of which the first starts at this one's; never back. All
  // or nothing. Certificates of the epochs left behind are refused from here on, except those that
  // are remembered. Errc::unverified.
  Status follow(std::span<const messages::EpochStep> steps);
  const std::vector<messages::EpochStep>& steps() const { return steps_; }  // since the genesis

  // The epochs that were followed and the newest certificate as bytes for a state file (empty
  // before the first certificate), and its way back. restore verifies the signatures anew.
  // Errc::malformed or Errc::unverified.
  Bytes save() const;
  Status restore(ByteView saved);
  // Whether a saved state is of a newer certificate, or knows more epochs, than another one. What
  // does not decode is older than anything. Nothing is verified.
  static bool newer(ByteView saved, ByteView than);

 private:
  void remember(const messages::RootCert& cert);
  tl::unexpected<Error> two_roots(messages::Seq seq) const;

  // Certificates live a few batches; more than this only matters to an answer that is seconds old.
  static constexpr std::size_t kDefaultCapacity = 256;

  const crypto::Verifier* verifier_;
  TrustAnchor anchor_;
  std::vector<messages::EpochStep> steps_;
  std::size_t capacity_;
  std::map<messages::Seq, messages::RootCert> checked_;
};

}  // namespace bftmeta::verify
