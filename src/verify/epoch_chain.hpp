// The chain of epochs as a file: what leads a verifier from the genesis to the members of today
// (protocol §9.3; docs/formats/certificates.md, Epochs). A replica keeps its own in its data
// directory, `bftadm get-root` writes one beside a root, and `bftadm verify` reads it.
// Thread-safety: pure functions.
#pragma once

#include <span>

#include "messages/agreement.hpp"
#include "verify/trust.hpp"

namespace bftmeta::verify {

constexpr std::size_t kMaxChainFile = 64 * 1024 * 1024;  // kMaxEpochs of the largest configurations

// Magic, version, cluster, steps; one encoding per value.
Bytes encode_chain_file(const Hash& cluster_id, std::span<const messages::EpochStep> steps);
bool is_chain_file(ByteView bytes);  // by its magic
// Structure and cluster only. Errc::malformed, or Errc::identity.
Result<std::vector<messages::EpochStep>> decode_chain_file(const Hash& cluster_id, ByteView bytes);

// From the anchor on, every step verified. Errc::unverified.
Result<TrustAnchor> follow_chain(const crypto::Verifier& verifier, TrustAnchor anchor,
                                 std::span<const messages::EpochStep> steps);

// The last sequence number of the epoch before the one that `steps` lead to; 0: the first epoch.
messages::Seq start_of_epoch(std::span<const messages::EpochStep> steps);

// What the statements of one epoch are judged by.
struct Epoch {
  messages::EpochContext context;
  config::Config config;
};
// Any epoch from the genesis to the one that `steps`, verified before, lead to; nullopt: a later
// one.
std::optional<Epoch> epoch_at(const TrustAnchor& genesis,
                              std::span<const messages::EpochStep> steps, std::uint64_t epoch);

}  // namespace bftmeta::verify
