// Root shares, certificates and divergence (protocol §4.1, §4.5).
#include <limits>

#include "consensus/core.hpp"

namespace bftmeta::consensus {

using messages::CertBody;
using messages::RootCert;
using messages::RootShare;

namespace {

Error wrong_root(Seq seq, const char* right) {
  return {Errc::corrupt, "sequence number " + std::to_string(seq) +
                             ": this replica's root differs from " + right +
                             "; its state is damaged and must be replaced"};
}

}  // namespace

void Core::on(ReplicaId from, RootShare m) {
  const Seq seq = m.body.seq;
  if (mutant(Mutant::share_sender_unchecked) && m.replica < config_.n()) from = m.replica;
  if (m.replica != from || m.body.cluster_id != cluster_id_) return;
  if (const auto cert = recent_certs_.find(seq);
      cert != recent_certs_.end() && m.body != cert->second.body)
    accuse(from, {m, cert->second});
  if (seq == epoch_end_) note_end_share(from, m);
  if (seq <= certified_seq() || beyond_epoch(seq)) return;
  if (seq > certified_seq() + 2 * limits::kWindow) {
    // Beyond what is stored: enough to know that somebody is ahead.
    peers_[from].status.executed = std::max(peers_[from].status.executed, seq);
    return;
  }
  // A sender's second share of one seq is evidence at most; only the first can become verified.
  const auto [first, fresh] = shares_[seq].try_emplace(from, std::move(m));  // else m stays whole
  if (!fresh && first->second.body != m.body) accuse(from, {first->second, m});
}

// Q, so that any two certificates share a correct signer.
std::uint32_t Core::certificate_quorum() const {
  return quorum() - (mutant(Mutant::certificate_quorum_small) ? 1 : 0);
}

// Two signatures for each batch are most of what a replica computes at low load, so they are
// verified newest first (a certificate covers everything below it by the history hash) and, where
// nobody waits for the result, for several batches at once (protocol §4.1).
void Core::try_certify() {
  if (halted_ || shares_.empty()) return;
  if (!certificate_urgent() && now_.mono_us < certificate_due()) return;
  shares_tried_us_ = now_.mono_us;
  for (auto it = shares_.rbegin(); it != shares_.rend(); ++it)
    if (it->second.size() >= certificate_quorum() && certify_from_shares(it->first)) return;
}

bool Core::certificate_urgent() const {
  return wanted_ > certified_seq() || executed_seq() >= certified_seq() + kLazyBatches ||
         !held_queries_.empty();
}

// When the shares are looked at without an event: never while there are not enough of them.
std::uint64_t Core::certificate_due() const {
  const bool enough = std::ranges::any_of(
      shares_, [this](const auto& s) { return s.second.size() >= certificate_quorum(); });
  return enough ? shares_tried_us_ + timing_.lazy_certificate
                : std::numeric_limits<std::uint64_t>::max();
}

// Numbers out of reach are a client's invention and would end all laziness here.
void Core::want(Seq seq) {
  if (seq <= executed_seq() + limits::kWindow) wanted_ = std::max(wanted_, seq);
}

bool Core::certify_from_shares(Seq seq) {
  auto& shares = shares_[seq];
  std::map<Hash, std::vector<ReplicaId>> by_body;  // equal bytes first, signatures second
  for (const auto& [replica, share] : shares)
    by_body[mutant(Mutant::shares_of_any_state_counted) ? Hash{} : share.body.digest()].push_back(
        replica);
  for (auto& [digest, replicas] : by_body) {
    if (replicas.size() < certificate_quorum()) continue;
    std::ranges::stable_partition(replicas, [this](ReplicaId r) { return !budget_.distrusted(r); });
    std::vector<ReplicaId> good;
    std::vector<ReplicaId> bad;
    for (const ReplicaId r : replicas) {
      if (good.size() == certificate_quorum()) break;
      const ShareCheck check = check_share(seq, r);
      if (check == ShareCheck::holds) good.push_back(r);
      if (check == ShareCheck::broken) bad.push_back(r);
    }
    if (good.size() == certificate_quorum()) {
      std::ranges::sort(good);  // as the signatures of a certificate stand
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

// Its signature, looked at once.
Core::ShareCheck Core::check_share(Seq seq, ReplicaId replica) {
  std::uint32_t& verified = verified_shares_[seq];
  if ((verified >> replica & 1) == 0) {
    if (!budget_.may_check_vote(replica, now_.mono_us)) return ShareCheck::later;
    if (!mutant(Mutant::share_signature_unchecked) &&
        !checked(replica, messages::verify_share(verifier_, config_, shares_.at(seq).at(replica))))
      return ShareCheck::broken;
    verified |= 1U << replica;
  }
  return ShareCheck::holds;
}

// Nothing beyond the end of the epoch, whoever signed it: keys of members that have left may be in
// any hands, and a quorum of them (T4.8).
void Core::on(ReplicaId from, RootCert m) {
  if (m.body.seq <= certified_seq() || beyond_epoch(m.body.seq) || !may_check(from, quorum()))
    return;
  if (checked(from, messages::verify_cert(verifier_, cluster_id_, config_, m).has_value()))
    adopt_cert(std::move(m));
}

// Precondition: Q valid signatures. The record goes to the log before the window moves by it.
void Core::adopt_cert(RootCert cert) {
  const Seq seq = cert.body.seq;
  if (seq <= certified_seq()) return;
  cert_lsn_ = append(RecordKind::certificate, seq, encode(cert));
  if (next_durable_cert_.first == 0) next_durable_cert_ = {cert_lsn_, seq};
  recent_certs_[seq] = cert;
  accuse_wrong_shares(cert);
  note_epoch_end(cert.body);
  cert_ = std::move(cert);
  if (!show_certificate()) return;
  if (next_seq_ <= seq && active_) next_seq_ = seq + 1;
  // Behind after all that was quiet: what is missing is asked for at the busy rate.
  if (seq > executed_seq())
    next_status_ = std::min(next_status_, now_.mono_us + timing_.status_busy);
  prune();
  for (auto it = slots_.upper_bound(seq); it != slots_.end(); ++it) advance(it->first);
}

// False: the certified state is not the own one.
bool Core::show_certificate() {
  const auto own = own_bodies_.find(cert_->body.seq);
  if (own != own_bodies_.end() && !body_agrees(own->second)) return false;
  if (!out_of_service()) out_->push_back(action::Certified{*cert_});
  return true;
}

// Who signed another state than the certified one has a broken machine, or lies.
void Core::accuse_wrong_shares(const RootCert& cert) {
  const auto shares = shares_.find(cert.body.seq);
  if (shares == shares_.end()) return;
  for (const auto& [replica, share] : shares->second)
    if (replica != self_ && share.body != cert.body) accuse(replica, {share, cert});
}

// What must be durable before anything is said about `seq`: a certificate at or above seq - L, else
// a restarted replica could neither show nor explain it (protocol §2.4, §3.5).
Lsn Core::watermark_lsn(Seq seq) const {
  return seq <= durable_cert_ + limits::kWindow ? kRecoveredLsn : cert_lsn_;
}

// W valid and equal shares that differ from the own body, which has not W itself. One of them is of
// a correct replica, and f faulty ones cannot bring this about. Where both have W, more than f
// replicas are wrong and nobody can tell which (T4.3): then nothing is certified, and none stops.
std::vector<RootShare> Core::contradiction(Seq seq) {
  const CertBody& own = own_bodies_.at(seq);
  const auto& shares = shares_[seq];
  std::map<Hash, std::vector<ReplicaId>> by_body;
  for (const auto& [replica, share] : shares)
    if (share.body != own) by_body[share.body.digest()].push_back(replica);
  if (by_body.empty()) return {};
  const auto valid = [&](const std::vector<ReplicaId>& replicas) {
    std::vector<RootShare> good;
    if (replicas.size() >= config_.weak_quorum() || mutant(Mutant::stopped_by_one_share))
      for (const ReplicaId r : replicas)
        if (check_share(seq, r) == ShareCheck::holds) good.push_back(shares.at(r));
    return good;
  };
  std::vector<RootShare> against;
  for (const auto& [digest, replicas] : by_body)
    if (auto good = valid(replicas); good.size() > against.size()) against = std::move(good);
  if (against.size() < (mutant(Mutant::stopped_by_one_share) ? 1 : config_.weak_quorum()))
    return {};
  std::vector<ReplicaId> supporters;
  for (const auto& [replica, share] : shares)
    if (share.body == own) supporters.push_back(replica);
  if (valid(supporters).size() >= config_.weak_quorum()) return {};
  return against;
}

// Without waiting for a certificate: with f silent and this replica wrong there will be none
// (protocol §4.5). After two STATUS rounds, in which every share that there is has come.
void Core::look_for_divergence() {
  if (mutant(Mutant::shares_stop_nobody)) return;
  for (const auto& [seq, own] : own_bodies_) {
    std::vector<RootShare> against = contradiction(seq);
    if (against.empty()) continue;
    if (contradicted_.first != seq) contradicted_ = {seq, now_.mono_us};
    if (now_.mono_us - contradicted_.second < 2 * timing_.status_busy) return;
    action::Diverged diverged = divergence(own);
    diverged.shares = std::move(against);
    return diverge(std::move(diverged), wrong_root(seq, "the one that f+1 or more replicas signed"),
                   executed_seq());
  }
  contradicted_ = {0, 0};
}

// A certified body that differs from the own one of the same seq: this replica is wrong (disk,
// memory, compiler, bug), or more than f others are. It stops before it can sign anything else.
bool Core::body_agrees(const CertBody& body) {
  const auto it = recent_certs_.find(body.seq);
  if (it == recent_certs_.end() || it->second.body == body) return true;
  diverge(divergence(body), wrong_root(body.seq, "the certified one"), executed_seq());
  return false;
}

// The same where no certificate of this very seq is at hand, but one of a later one, or W shares,
// or the own log.
bool Core::header_agrees(const CertBody& body, const std::optional<KnownResult>& known) {
  if (!known || history_.at(body.seq).header == known->header) return true;
  action::Diverged diverged = divergence(body);
  diverged.agreed_header = known->header;
  diverge(
      std::move(diverged),
      {Errc::corrupt, "sequence number " + std::to_string(body.seq) + ": " + known->contradiction},
      std::max(executed_seq(), known->signed_upto));
  return false;
}

// Precondition: executed here, and still in history_.
action::Diverged Core::divergence(const CertBody& own) const {
  const History& executed = history_.at(own.seq);
  action::Diverged d{own, executed.header, executed.batch, {}, {}, {}, flushed_};
  for (const auto& [seq, cert] : recent_certs_) {
    if (seq < own.seq) d.agreed_upto = std::max(d.agreed_upto, seq);
    if (seq == own.seq) d.cert = cert;
  }
  return d;
}

}  // namespace bftmeta::consensus
