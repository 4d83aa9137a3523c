#include "messages/certificate.hpp"

#include <bit>

#include "base/mutant.hpp"
#include "messages/client.hpp"

namespace bftmeta::messages {

bool valid_value(ReadStatus s) { return s <= ReadStatus::refused; }
bool valid_value(RefusalReason r) { return r <= RefusalReason::already_done; }

Hash history_start(const Hash& cluster_id) {
  return crypto::Hasher(tags::Domain::history_chain).update(cluster_id).finish();
}

Hash extend_history(const Hash& before, const BatchHeader& header) {
  const Hash leaf = history_leaf(header);
  return crypto::Hasher(tags::Domain::history_chain).update(before).update(leaf).finish();
}

Hash history_leaf(const BatchHeader& header) {
  return crypto::hash_of(tags::Domain::history_leaf, header);
}

Hash history_node(const Hash& left, const Hash& right) {
  return crypto::Hasher(tags::Domain::history_node).update(left).update(right).finish();
}

namespace {
crypto::Context context_of(const CertBody& body) { return {body.cluster_id, body.epoch}; }
}  // namespace

std::string replica_list(std::uint32_t replicas) {
  std::string list;
  for (ReplicaId r = 0; r < limits::kMaxReplicas; ++r)
    if ((replicas >> r & 1) != 0) list += (list.empty() ? "" : ",") + std::to_string(r);
  return list;
}

RootShare sign_share(const crypto::Signer& signer, const CertBody& body, ReplicaId replica) {
  return {body, replica, signer.sign(tags::kRootShare, context_of(body), encode(body))};
}

bool verify_share(const crypto::Verifier& verifier, const config::Config& config,
                  const RootShare& share) {
  if (share.replica >= config.n()) return false;
  return verifier.verify(config.replicas[share.replica].vote_key, tags::kRootShare,
                         context_of(share.body), encode(share.body), share.signature);
}

namespace {

tl::unexpected<Error> refuse(const RootCert& cert, const std::string& why) {
  return fail(Errc::unverified,
              "certificate of sequence number " + std::to_string(cert.body.seq) + ": " + why);
}

// Epoch fields (protocol §9.2): scheduled before it comes, and the next configuration is named by
// the last body of the epoch alone.
bool epoch_end_consistent(const CertBody& body) {
  const bool last = body.epoch_end_seq != 0 && body.seq == body.epoch_end_seq;
  return (body.epoch_end_seq == 0 || body.seq <= body.epoch_end_seq) &&
         (body.next_config_hash != Hash{}) == last;
}

Status check_signatures(const crypto::Verifier& verifier, const config::Config& config,
                        const RootCert& cert, std::uint32_t signers,
                        const std::vector<Signature>& signatures) {
  if (signers >> config.n() != 0) return refuse(cert, "a signer is not a member");
  const auto count = static_cast<std::uint32_t>(std::popcount(signers));
  if (count != config.quorum() || signatures.size() != count)
    return refuse(cert, "it needs exactly " + std::to_string(config.quorum()) +
                            " signatures of members of epoch " + std::to_string(config.epoch));
  const Bytes preimage =
      crypto::preimage(tags::kRootShare, context_of(cert.body), encode(cert.body));
  std::size_t next = 0;
  for (ReplicaId r = 0; r < config.n(); ++r) {
    if ((signers >> r & 1) == 0) continue;
    if (!verifier.verify(config.replicas[r].vote_key, preimage, signatures[next++]) &&
        !mutant(Mutant::certificate_unchecked))
      return refuse(cert, "the signature of replica " + std::to_string(r) + " of epoch " +
                              std::to_string(config.epoch) + " does not hold");
  }
  return {};
}

Status check_members_of_epoch(const crypto::Verifier& verifier, const Hash& cluster_id,
                              const config::Config& config, const RootCert& cert) {
  const CertBody& body = cert.body;
  if (body.cluster_id != cluster_id) return refuse(cert, "it is of another cluster");
  if (body.epoch != config.epoch)
    return refuse(cert, "it is of epoch " + std::to_string(body.epoch) + ", expected was " +
                            std::to_string(config.epoch));
  if (body.config_hash != config.hash()) return refuse(cert, "it names another configuration");
  if (body.sm_version != config.sm_version) return refuse(cert, "unknown state machine version");
  if (body.seq == 0) return refuse(cert, "genesis has no certificate");
  if (!epoch_end_consistent(body)) return refuse(cert, "its epoch end contradicts its number");
  return check_signatures(verifier, config, cert, cert.signers, cert.signatures);
}

}  // namespace

Status verify_cert(const crypto::Verifier& verifier, const Hash& cluster_id,
                   const config::Config& config, const RootCert& cert) {
  if (cert.next_signers != 0 || !cert.next_signatures.empty())
    return refuse(cert, "signatures of a next configuration belong into a chain of epochs only");
  return check_members_of_epoch(verifier, cluster_id, config, cert);
}

Status verify_joint_cert(const crypto::Verifier& verifier, const Hash& cluster_id,
                         const config::Config& config, const config::Config& next,
                         const RootCert& cert) {
  if (cert.body.next_config_hash == Hash{}) return refuse(cert, "it does not end an epoch");
  if (next.epoch != config.epoch + 1 || cert.body.next_config_hash != next.hash())
    return refuse(cert, "it names another next configuration");
  BFTMETA_TRY(check_members_of_epoch(verifier, cluster_id, config, cert));
  return check_signatures(verifier, next, cert, cert.next_signers, cert.next_signatures);
}

RootCert plain(RootCert joint) {
  joint.next_signers = 0;
  joint.next_signatures.clear();
  return joint;
}

Hash reply_leaf(const Id16& session_id, std::uint64_t bundle_no, const Hash& request_digest,
                const Hash& results) {
  return crypto::Hasher(tags::Domain::reply_leaf)
      .update(session_id)
      .update_u64(bundle_no)
      .update(request_digest)
      .update(results)
      .finish();
}

Hash reply_node(const Hash& left, const Hash& right) {
  return crypto::Hasher(tags::Domain::reply_node).update(left).update(right).finish();
}

Hash results_digest(ByteView encoded_results) {
  return crypto::Hasher(tags::Domain::reply_results).update(encoded_results).finish();
}

}  // namespace bftmeta::messages
