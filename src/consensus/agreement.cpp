// PRE-PREPARE, PREPARE, COMMIT and execution in order (protocol §2, §3.1, §4.1).
#include "base/assert.hpp"
#include "consensus/core.hpp"

namespace bftmeta::consensus {

using messages::Batch;
using messages::Commit;
using messages::ParsedBatch;
using messages::Prepare;
using messages::PreparedCert;
using messages::PrePrepare;
using messages::Proposal;

// Messages are stored up to two windows ahead, so that a lagging certificate never costs a proposal
// (T2.1); votes are given only inside one.
bool Core::accepts_votes(Seq seq) const {
  return seq > certified_seq() && seq <= certified_seq() + 2 * limits::kWindow;
}

void Core::on(ReplicaId, PrePrepare m) {
  const Proposal p = m.proposal;
  if (!active_ || p.view != view_ || !accepts_votes(p.seq)) return;
  // The signature covers the digest only, and anybody may have put another batch beside it.
  const bool body_matches =
      m.batch.seq == p.seq && messages::batch_digest(context(), m.batch) == p.digest;
  Slot& s = slot(p.seq);
  if (s.proposal && s.proposal->digest == p.digest) {
    if (s.batch || !body_matches) return;
    if (auto parsed = messages::parse_batch(context(), std::move(m.batch)))
      attach_batch(p.seq, std::make_shared<ParsedBatch>(std::move(*parsed)));
    return;
  }
  if (p.seq <= max_reproposed_) return;  // only what NEW-VIEW named
  if (!s.proposal && !body_matches) return;
  if (!messages::verify_pre_prepare(verifier_, context(), config_, p, m.signature)) return;
  signed_by_peers_.note_pre_prepare(primary(view_), p, m.signature);
  if (s.proposal) {  // two signed proposals for one (view, seq)
    view_fault_ = Reason::equivocation;
    return suspect(view_fault_);
  }
  auto parsed = messages::parse_batch(context(), std::move(m.batch));
  if (!parsed || parsed->batch.flags == messages::BatchFlags::null) {
    view_fault_ = Reason::proposal_timeout;  // signed by the primary and refused by every backup
    return suspect(view_fault_);
  }
  s.proposal = p;
  s.primary_signature = m.signature;
  s.since_us = now_.mono_us;
  pending_.mark_proposed(*parsed);
  attach_batch(p.seq, std::make_shared<ParsedBatch>(std::move(*parsed)));
}

void Core::attach_batch(Seq seq, std::shared_ptr<const ParsedBatch> batch) {
  slot(seq).batch = std::move(batch);
  advance(seq);
}

// A bad client signature inside a signed proposal is the primary's fault: every correct backup
// refuses it alike, whatever its state (T2.4).
bool Core::items_hold(const ParsedBatch& batch) {
  for (std::size_t i = 0; i < batch.items.size(); ++i)
    if (!messages::verify_item(verifier_, cluster_id_, batch.batch.items[i], batch.items[i].client))
      return false;
  return true;
}

// Agreed time (protocol §2.5). Waived once W backups have prepared: a correct one has checked.
bool Core::time_acceptable(const Slot& s) {
  if (s.time_waived) return true;
  std::uint32_t others = 0;
  for (const auto& [replica, prepare] : s.prepares)
    if (prepare.proposal.digest == s.proposal->digest) ++others;
  if (others >= config_.weak_quorum()) return true;
  const std::uint64_t t = s.batch->batch.time_us;
  return t <= now_.wall_us + limits::kSkewAheadUs && t + limits::kSkewBehindUs >= now_.wall_us;
}

// The own PREPARE (a backup) of what is proposed in this view: body and vote are logged, and the
// message waits for them.
void Core::try_vote(Seq seq) {
  Slot& s = slot(seq);
  if (!may_vote() || !active_ || s.voted || !s.proposal || !s.batch || s.proposal->view != view_)
    return;
  if (seq <= certified_seq() || seq > certified_seq() + limits::kWindow) return;
  if (s.batch->digest != s.proposal->digest) return;
  if (!s.verified) {
    if (!items_hold(*s.batch)) {
      view_fault_ = Reason::proposal_timeout;
      return suspect(view_fault_);
    }
    s.verified = true;
  }
  if (!time_acceptable(s)) return;
  log_body(*s.batch);
  s.vote_lsn = append(RecordKind::vote, seq, encode(VoteRecord{*s.proposal, s.primary_signature}));
  s.voted = true;
  if (primary(view_) == self_) return;  // its PRE-PREPARE stands for its PREPARE
  Prepare own = messages::sign_prepare(signer_, context(), *s.proposal, self_);
  s.prepares[self_] = own;
  broadcast(std::move(own), s.vote_lsn);
}

void Core::on(ReplicaId from, Prepare m) {
  const Proposal& p = m.proposal;
  if (!active_ || p.view != view_ || !accepts_votes(p.seq) || m.replica == self_) return;
  Slot& s = slot(p.seq);
  // Relayed PREPAREs are welcome (they are signed); a known one costs nothing.
  if (const auto it = s.prepares.find(m.replica);
      it != s.prepares.end() && (it->second.proposal.digest == p.digest || from != m.replica))
    return;
  if (s.prepared_lsn != 0 || (s.proposal && s.proposal->digest != p.digest)) return;
  if (!messages::verify_prepare(verifier_, context(), config_, m)) return;
  signed_by_peers_.note_prepare(m);
  s.prepares[m.replica] = std::move(m);
  advance(p.seq);
}

// Prepared: the PRE-PREPARE and 2f PREPAREs of distinct backups for the same digest. The
// certificate is durable before the COMMIT leaves (protocol §3.1).
void Core::try_prepared(Seq seq) {
  Slot& s = slot(seq);
  if (!may_vote() || !active_ || !s.voted || s.prepared_lsn != 0 || s.proposal->view != view_)
    return;
  PreparedCert entry;
  entry.proposal = *s.proposal;
  entry.primary_signature = s.primary_signature;
  for (const auto& [replica, prepare] : s.prepares) {
    if (prepare.proposal != *s.proposal || entry.signatures.size() == 2 * config_.f()) continue;
    entry.backups |= 1U << replica;
    entry.signatures.push_back(prepare.signature);
  }
  if (entry.signatures.size() < 2 * config_.f()) return;
  s.prepared_lsn = append(RecordKind::prepared, seq, encode(entry));
  prepared_[seq] = std::move(entry);
  broadcast(Commit{*s.proposal}, s.prepared_lsn);
}

void Core::on(ReplicaId from, Commit m) {
  const Proposal& p = m.proposal;
  if (!active_ || p.view != view_) return;
  // The shares of the others may have made a certificate first. Their COMMITs still count for what
  // is not executed here: else the batch would wait for catch-up, and at the primary all that
  // follows it.
  const bool certified = p.seq <= certified_seq();
  if (certified ? find(p.seq) == nullptr : !accepts_votes(p.seq)) return;
  slot(p.seq).commits[from] = p;
  signed_by_peers_.note_commit(from, p);
  if (certified)
    try_committed(p.seq);
  else
    advance(p.seq);
}

void Core::try_committed(Seq seq) {
  Slot& s = slot(seq);
  if (s.committed || !s.proposal || s.proposal->view != view_) return;
  // A replica that gives no COMMIT can still count those of others.
  if (!s.commit_durable && may_vote()) return;
  std::uint32_t count = s.commit_durable ? 1 : 0;  // own
  for (const auto& [replica, proposal] : s.commits)
    if (proposal == *s.proposal) ++count;
  if (count >= quorum()) s.committed = s.proposal->digest;
}

void Core::advance(Seq seq) {
  try_vote(seq);
  try_prepared(seq);
  try_committed(seq);
}

void Core::on_durable(Lsn lsn) {
  durable_lsn_ = std::max(durable_lsn_, lsn);
  if (next_durable_cert_.first != 0 && next_durable_cert_.first <= durable_lsn_) {
    const bool all = cert_lsn_ <= durable_lsn_;
    durable_cert_ = all ? certified_seq() : next_durable_cert_.second;
    next_durable_cert_ = all ? std::pair<Lsn, Seq>{} : std::pair{cert_lsn_, certified_seq()};
  }
  for (auto& [seq, s] : slots_) {
    if (s.prepared_lsn == 0 || s.prepared_lsn > durable_lsn_) continue;
    s.commit_durable = true;
    try_committed(seq);
  }
}

void Core::try_execute() {
  while (!halted_) {
    const Slot* s = find(executed_seq() + 1);
    if (s == nullptr || !s->committed || !s->batch || s->batch->digest != *s->committed) return;
    if (s->since_us != 0) {
      const std::uint64_t latency = now_.mono_us - s->since_us;
      commit_latency_ = commit_latency_ == 0 ? latency : (7 * commit_latency_ + latency) / 8;
    }
    if (!execute(s->batch)) return;
    // Patience returns step by step with a view that works (protocol §5.4).
    if (++executed_in_view_ % 16 == 0 && failed_views_ > 0) --failed_views_;
  }
}

// By commit or by catch-up. EXECUTED rides along unsynced: losing it only costs a catch-up.
bool Core::execute(const std::shared_ptr<const ParsedBatch>& batch) {
  if (!apply(batch)) return false;
  const Seq seq = executed_seq();
  log_body(*batch);
  append(RecordKind::executed, seq, encode(history_.at(seq).header));
  if (const auto own = own_bodies_.find(seq); own != own_bodies_.end())
    broadcast(shares_.at(seq).at(self_));
  // The certificate may have come first: only now can this replica answer and read at it.
  if (seq == certified_seq()) out_->push_back(action::Certified{*cert_});
  prune();
  return true;
}

// The batch is the next of the agreed history: executes it and makes the own share.
bool Core::apply(const std::shared_ptr<const ParsedBatch>& batch) {
  const Seq seq = executed_seq() + 1;
  BFTMETA_ASSERT(batch->batch.seq == seq);
  auto outcome = machine_.execute(*batch);
  if (!outcome) {
    halt(std::move(outcome.error()));
    return false;
  }
  const std::size_t bytes = encoded_size(batch->batch);
  history_[seq] = {outcome->header, batch, bytes};
  history_bytes_ += bytes;
  pending_.executed(*batch, machine_, now_.mono_us);
  if (!body_agrees(outcome->body)) return false;
  if (seq > certified_seq()) {
    shares_[seq].insert_or_assign(self_, messages::sign_share(signer_, outcome->body, self_));
    verified_shares_[seq] |= 1U << self_;
    own_bodies_[seq] = std::move(outcome->body);
  }
  return true;
}

void Core::on(ReplicaId, messages::BatchData m) {
  const Seq seq = m.batch.seq;
  Slot* s = find(seq);
  const bool rescue = rescue_first_ != 0 && seq >= rescue_first_ && seq <= certified_seq();
  if (!rescue && (s == nullptr || s->batch)) return;
  auto parsed = messages::parse_batch(context(), std::move(m.batch));
  if (!parsed) return;
  if (const auto it = rescue_bodies_.find(parsed->digest); it != rescue_bodies_.end()) {
    if (!it->second) it->second = std::make_shared<ParsedBatch>(std::move(*parsed));
    return try_rescue();
  }
  if (s == nullptr || s->batch) return;
  const bool wanted = (s->proposal && s->proposal->digest == parsed->digest) ||
                      (s->committed && *s->committed == parsed->digest);
  if (wanted) attach_batch(seq, std::make_shared<ParsedBatch>(std::move(*parsed)));
}

void Core::on(ReplicaId from, messages::FetchBatch m) {
  if (const Slot* s = find(m.seq); s != nullptr && s->batch && s->batch->digest == m.digest)
    return send(from, messages::BatchData{s->batch->batch});
  if (const auto it = history_.find(m.seq);
      it != history_.end() && it->second.header.batch_digest == m.digest)
    return send(from, messages::BatchData{it->second.batch->batch});
  if (auto batch = archive_.batch(m.seq, m.digest))
    send(from, messages::BatchData{std::move(*batch)});
}

}  // namespace bftmeta::consensus
