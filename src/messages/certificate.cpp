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

Status verify_cert(const crypto::Verifier& verifier, const Hash& cluster_id,
                   const config::Config& config, const RootCert& cert) {
  const auto refuse = [&cert](const std::string& why) {
    return fail(Errc::unverified,
                "certificate of sequence number " + std::to_string(cert.body.seq) + ": " + why);
  };
  const CertBody& body = cert.body;
  if (body.cluster_id != cluster_id) return refuse("it is of another cluster");
  if (body.epoch != config.epoch) return refuse("it is of epoch " + std::to_string(body.epoch));
  if (body.config_hash != config.hash()) return refuse("it names another configuration");
  if (body.sm_version != config.sm_version) return refuse("unknown state machine version");
  if (body.next_config_hash != Hash{} || body.epoch_end_seq != 0 || cert.next_signers != 0 ||
      !cert.next_signatures.empty())
    return refuse("it ends an epoch, which this version does not know");
  if (body.seq == 0) return refuse("genesis has no certificate");
  if (cert.signers >> config.n() != 0) return refuse("a signer is not a member");
  const auto signers = static_cast<std::uint32_t>(std::popcount(cert.signers));
  if (signers != config.quorum() || cert.signatures.size() != signers)
    return refuse("it needs exactly " + std::to_string(config.quorum()) + " signatures");
  const Bytes preimage = crypto::preimage(tags::kRootShare, context_of(body), encode(body));
  std::size_t next = 0;
  for (ReplicaId r = 0; r < config.n(); ++r) {
    if ((cert.signers >> r & 1) == 0) continue;
    if (!verifier.verify(config.replicas[r].vote_key, preimage, cert.signatures[next++]) &&
        !mutant(Mutant::certificate_unchecked))
      return refuse("the signature of replica " + std::to_string(r) + " does not hold");
  }
  return {};
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
