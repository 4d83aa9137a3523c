// Root shares, certificates and divergence (protocol §4.1, §4.5).
#include "consensus/core.hpp"

namespace bftmeta::consensus {

using messages::CertBody;
using messages::RootCert;
using messages::RootShare;

void Core::on(ReplicaId from, RootShare m) {
  const Seq seq = m.body.seq;
  if (m.replica != from || seq <= certified_seq() || m.body.cluster_id != cluster_id_) return;
  if (seq > certified_seq() + 2 * limits::kWindow) {
    // Beyond what is stored: enough to know that somebody is ahead.
    peers_[from].status.executed = std::max(peers_[from].status.executed, seq);
    return;
  }
  // A sender's second share of one seq is ignored; only the first can become verified.
  shares_[seq].try_emplace(from, std::move(m));
}

// Verified lazily, newest first: a certificate covers everything below it by the history hash, so
// the older shares need not be looked at (protocol §4.1).
void Core::try_certify() {
  if (halted_ || shares_.empty()) return;
  for (auto it = shares_.rbegin(); it != shares_.rend(); ++it)
    if (it->second.size() >= quorum() && certify_from_shares(it->first)) return;
}

bool Core::certify_from_shares(Seq seq) {
  auto& shares = shares_[seq];
  std::map<Hash, std::vector<ReplicaId>> by_body;  // equal bytes first, signatures second
  for (const auto& [replica, share] : shares) by_body[share.body.digest()].push_back(replica);
  for (const auto& [digest, replicas] : by_body) {
    if (replicas.size() < quorum()) continue;
    std::vector<ReplicaId> good;
    std::vector<ReplicaId> bad;
    for (const ReplicaId r : replicas) {
      if (good.size() == quorum()) break;
      std::uint32_t& verified = verified_shares_[seq];
      if ((verified >> r & 1) == 0 && !messages::verify_share(verifier_, config_, shares.at(r))) {
        bad.push_back(r);
        continue;
      }
      verified |= 1U << r;
      good.push_back(r);
    }
    if (good.size() == quorum()) {
      RootCert cert;
      cert.body = shares.at(good.front()).body;
      for (const ReplicaId r : good) {
        cert.signers |= 1U << r;
        cert.signatures.push_back(shares.at(r).signature);
      }
      adopt_cert(std::move(cert));
      return true;
    }
    for (const ReplicaId r : bad) shares.erase(r);
    if (!bad.empty()) return certify_from_shares(seq);
  }
  return false;
}

void Core::on(ReplicaId, RootCert m) {
  if (m.body.seq <= certified_seq()) return;
  if (messages::verify_cert(verifier_, cluster_id_, config_, m)) adopt_cert(std::move(m));
}

// Precondition: Q valid signatures. The record goes to the log before the window moves by it.
void Core::adopt_cert(RootCert cert) {
  const Seq seq = cert.body.seq;
  if (seq <= certified_seq()) return;
  cert_lsn_ = append(RecordKind::certificate, seq, encode(cert));
  if (next_durable_cert_.first == 0) next_durable_cert_ = {cert_lsn_, seq};
  recent_certs_[seq] = cert;
  cert_ = std::move(cert);
  if (const auto own = own_bodies_.find(seq); own != own_bodies_.end() && !body_agrees(own->second))
    return;
  out_->push_back(action::Certified{*cert_});
  if (next_seq_ <= seq && active_) next_seq_ = seq + 1;
  // Behind after all that was quiet: what is missing is asked for at the busy rate.
  if (seq > executed_seq())
    next_status_ = std::min(next_status_, now_.mono_us + timing_.status_busy);
  prune();
  for (auto it = slots_.upper_bound(seq); it != slots_.end(); ++it) advance(it->first);
}

// What must be durable before anything is said about `seq`: a certificate at or above seq - L, else
// a restarted replica could neither show nor explain it (protocol §2.4, §3.5).
Lsn Core::watermark_lsn(Seq seq) const {
  return seq <= durable_cert_ + limits::kWindow ? kRecoveredLsn : cert_lsn_;
}

// A certified body that differs from the own one of the same seq: this replica is wrong (disk,
// memory, compiler, bug), or more than f others are. It stops before it can sign anything else.
bool Core::body_agrees(const CertBody& body) {
  const auto it = recent_certs_.find(body.seq);
  if (it == recent_certs_.end() || it->second.body == body) return true;
  halt({Errc::corrupt, "sequence number " + std::to_string(body.seq) +
                           ": this replica's root differs from the certified one; its state is "
                           "damaged and must be replaced"});
  return false;
}

}  // namespace bftmeta::consensus
