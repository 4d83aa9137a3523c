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
  return seq > certified_seq() && (!beyond_epoch(seq) || mutant(Mutant::votes_beyond_epoch)) &&
         (seq <= certified_seq() + 2 * limits::kWindow || mutant(Mutant::window_unchecked));
}

// Proposals and votes are of the view that they name; a view that was left takes none (§5.1).
bool Core::is_of_view(View view) const {
  return view == view_ || (view < view_ && mutant(Mutant::old_view_accepted));
}

void Core::on(ReplicaId from, PrePrepare m) {
  const Proposal p = m.proposal;
  if (p.view > view_ || (p.view == view_ && !active_)) {
    if (from == primary(p.view)) early_.keep(from, std::move(m));
    return;
  }
  if (!active_ || !is_of_view(p.view) || !accepts_votes(p.seq)) return;
  // The signature covers the digest only, and anybody may have put another batch beside it.
  const bool body_matches =
      m.batch.seq == p.seq && (messages::batch_digest(context(), m.batch) == p.digest ||
                               mutant(Mutant::batch_digest_unchecked));
  Slot& s = slot(p.seq);
  if (s.proposal && s.proposal->digest == p.digest) {
    if (s.batch || !body_matches) return;
    if (auto parsed = messages::parse_batch(context(), std::move(m.batch)))
      attach_batch(p.seq, std::make_shared<ParsedBatch>(std::move(*parsed)));
    return;
  }
  if (!s.proposal && (p.seq <= max_reproposed_ || !body_matches))
    return;  // of the seqs that NEW-VIEW named, only what it named
  if (!budget_.may_check_vote(from, now_.mono_us)) return;
  if (!mutant(Mutant::pre_prepare_signature_unchecked) &&
      !checked(from, messages::verify_pre_prepare(verifier_, context(), config_, p, m.signature)))
    return;
  signed_by_peers_.note_pre_prepare(primary(view_), p, m.signature);
  if (mutant(Mutant::second_proposal_voted)) s = Slot{};
  if (s.proposal)  // two signed proposals for one (view, seq)
    return accuse(from, {messages::SignedProposal{*s.proposal, s.primary_signature},
                         messages::SignedProposal{p, m.signature}});
  auto parsed = messages::parse_batch(context(), std::move(m.batch));
  if (!parsed || parsed->batch.flags == messages::BatchFlags::null)
    return blame_primary(Reason::proposal_timeout);  // signed, and refused by every backup
  s.proposal = p;
  s.primary_signature = m.signature;
  s.since_us = now_.mono_us;
  if (p.seq > executed_seq()) pending_.mark_proposed(*parsed);
  attach_batch(p.seq, std::make_shared<ParsedBatch>(std::move(*parsed)));
}

void Core::attach_batch(Seq seq, std::shared_ptr<const ParsedBatch> batch) {
  if (make_room(seq, batch->bytes)) slot(seq).batch = std::move(batch);
  advance(seq);
}

// Whether a batch of so many bytes may be kept until it is executed. Only what has a lower number
// counts, so what is needed next always fits; far behind, that is what is not certified.
bool Core::has_room(Seq seq, std::size_t bytes) const {
  auto it =
      slots_.upper_bound(far_behind() ? std::max(executed_seq(), certified_seq()) : executed_seq());
  for (; bytes <= limits::kMaxWaitingBytes && it != slots_.end() && it->first < seq; ++it)
    if (it->second.batch) bytes += it->second.batch->bytes;
  return bytes <= limits::kMaxWaitingBytes;
}

// A faulty primary may propose two windows of the largest batches. The highest give way; what was
// voted for is in the log, and all of it comes again with STATUS when it is next. Before them, far
// behind, the oldest of what is certified.
bool Core::make_room(Seq seq, std::size_t bytes) {
  if (seq <= executed_seq()) return true;  // it is in the history as well
  if (!has_room(seq, bytes)) return false;
  std::size_t waiting = waiting_bytes() + bytes;
  const auto full = [&] { return waiting > limits::kMaxWaitingBytes; };
  if (far_behind() && seq <= certified_seq()) return !full();
  const auto give_way = [&](auto& entry) {
    if (!entry.second.batch || entry.first == seq) return;
    waiting -= entry.second.batch->bytes;
    entry.second.batch.reset();
  };
  if (far_behind())
    for (auto it = slots_.upper_bound(executed_seq());
         full() && it != slots_.end() && it->first <= certified_seq(); ++it)
      give_way(*it);
  for (auto it = slots_.rbegin(); full() && it != slots_.rend(); ++it) give_way(*it);
  return true;
}

// Of batches that were not executed.
std::size_t Core::waiting_bytes() const {
  std::size_t bytes = 0;
  for (auto it = slots_.upper_bound(executed_seq()); it != slots_.end(); ++it)
    if (it->second.batch) bytes += it->second.batch->bytes;
  return bytes;
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
  if (s.time_waived || mutant(Mutant::agreed_time_unchecked)) return true;
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
  if (!votes_fit()) return;
  if (seq <= certified_seq() || (beyond_epoch(seq) && !mutant(Mutant::votes_beyond_epoch)) ||
      (seq > certified_seq() + limits::kWindow && !mutant(Mutant::window_unchecked)))
    return;
  if (s.batch->digest != s.proposal->digest && !mutant(Mutant::batch_digest_unchecked)) return;
  if (!s.verified) {
    if (!mutant(Mutant::client_signatures_unchecked) && !items_hold(*s.batch))
      return blame_primary(Reason::proposal_timeout);
    s.verified = true;
  }
  if (!time_acceptable(s)) return;
  log_body(*s.batch);
  if (mutant(Mutant::vote_not_logged))
    s.vote_lsn = last_lsn_;
  else
    s.vote_lsn =
        append(RecordKind::vote, seq, encode(VoteRecord{*s.proposal, s.primary_signature}));
  s.voted = true;
  if (primary(view_) == self_) return;  // its PRE-PREPARE stands for its PREPARE
  Prepare own = messages::sign_prepare(signer_, context(), *s.proposal, self_);
  s.prepares[self_] = own;
  broadcast(std::move(own), mutant(Mutant::prepare_before_durable) ? 0 : s.vote_lsn);
}

void Core::on(ReplicaId from, Prepare m) {
  const Proposal& p = m.proposal;
  if (!active_ || !is_of_view(p.view) || !accepts_votes(p.seq) || m.replica == self_) return;
  Slot& s = slot(p.seq);
  // Relayed PREPAREs are welcome (they are signed); a known one costs nothing.
  const auto other = s.prepares.find(m.replica);
  const bool two_digests = other != s.prepares.end();
  if (two_digests && (other->second.proposal.digest == p.digest || from != m.replica)) return;
  const bool disputed = s.proposal && s.proposal->digest != p.digest;
  if (disputed && from == m.replica) show_proposal(from, s);
  if (!two_digests && (disputed || s.prepared_lsn != 0)) return;
  if (!budget_.may_check_vote(from, now_.mono_us)) return;
  if (!mutant(Mutant::prepare_signature_unchecked) &&
      !checked(from, messages::verify_prepare(verifier_, context(), config_, m)))
    return;
  if (two_digests) accuse(from, {other->second, m});
  if (disputed || s.prepared_lsn != 0) return;
  signed_by_peers_.note_prepare(m);
  s.prepares[m.replica] = std::move(m);
  advance(p.seq);
}

// Who prepares another batch than was proposed here was sent another proposal, or lies. Shown this
// one, once, a correct peer holds both signatures and thereby evidence.
void Core::show_proposal(ReplicaId to, Slot& s) {
  if ((s.shown_to >> to & 1) != 0 || !s.batch || !s.voted) return;
  s.shown_to |= 1U << to;
  answer(to, PrePrepare{*s.proposal, s.primary_signature, s.batch->batch}, s.vote_lsn);
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
    const bool other = prepare.proposal != *s.proposal;
    if ((other && !mutant(Mutant::prepares_of_any_digest_counted)) ||
        entry.signatures.size() == 2 * config_.f())
      continue;
    entry.backups |= 1U << replica;
    entry.signatures.push_back(prepare.signature);
  }
  const std::uint32_t needed = 2 * config_.f() - (mutant(Mutant::prepare_quorum_small) ? 1 : 0);
  if (entry.signatures.size() < needed) return;
  if (mutant(Mutant::prepared_not_logged))
    s.prepared_lsn = kRecoveredLsn;
  else
    s.prepared_lsn = append(RecordKind::prepared, seq, encode(entry));
  keep_prepared(std::move(entry));
  s.commit_durable = s.commit_durable || mutant(Mutant::commit_before_durable);
  if (mutant(Mutant::executed_when_prepared)) s.committed = s.proposal->digest;
  broadcast(Commit{*s.proposal}, mutant(Mutant::commit_before_durable) ? 0 : s.prepared_lsn);
}

void Core::on(ReplicaId from, Commit m) {
  const Proposal& p = m.proposal;
  if (!active_ || !is_of_view(p.view)) return;
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
  const bool will_vote = may_vote() && (s.voted || votes_fit());
  if (!s.commit_durable && will_vote) return;
  std::uint32_t count = s.commit_durable ? 1 : 0;  // own
  if (mutant(Mutant::own_commit_counted_twice)) count *= 2;
  for (const auto& [replica, proposal] : s.commits)
    if (proposal == *s.proposal || mutant(Mutant::commits_of_any_view_counted) ||
        (mutant(Mutant::commit_digest_ignored) && proposal.view == view_))
      ++count;
  if (count >= quorum() - (mutant(Mutant::commit_quorum_small) ? 1 : 0))
    s.committed = s.proposal->digest;
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
  while (!halted_ && !transferring_) {
    const Slot* s = find(executed_seq() + 1);
    if (mutant(Mutant::gaps_executed))
      for (auto it = slots_.rbegin(); it != slots_.rend() && it->first > executed_seq(); ++it)
        if (it->second.committed) s = &it->second;
    if (s == nullptr || !s->committed || !s->batch || s->batch->digest != *s->committed) return;
    if (s->since_us != 0) commit_latency_.add(now_.mono_us - s->since_us);
    const auto work = execute(s->batch);
    if (!work) return;
    floor_.executed(*work);
    // Patience returns step by step with a view that works (protocol §5.4).
    if (++executed_in_view_ % 16 == 0 && failed_views_ > 0) --failed_views_;
  }
}

// By commit or by catch-up. EXECUTED rides along unsynced, but for the last of an epoch: losing it
// only costs a catch-up.
// nullopt: this replica halts, or fetches a state.
std::optional<Work> Core::execute(const std::shared_ptr<const ParsedBatch>& batch,
                                  const std::optional<KnownResult>& known) {
  const auto work = apply(batch, known);
  if (!work) return std::nullopt;
  const Seq seq = executed_seq();
  note_progress();
  log_body(*batch);
  const Lsn lsn = append(RecordKind::executed, seq, encode(history_.at(seq).header));
  if (seq == epoch_end_) end_lsn_ = lsn;
  if (own_bodies_.contains(seq) && may_sign_share(seq))
    broadcast(shares_.at(seq).at(self_), share_lsn(seq));
  // The certificate may have come first: only now can this replica answer and read at it.
  if (seq == certified_seq()) out_->push_back(action::Certified{*cert_});
  prune();
  return work;
}

namespace {

Work work_of(const ParsedBatch& batch, const std::vector<bool>& first_time) {
  Work work;
  for (std::size_t i = 0; i < batch.items.size() && i < first_time.size(); ++i) {
    if (!first_time[i]) continue;
    ++work.bundles;
    if (const messages::Bundle* bundle = batch.items[i].bundle())
      for (const schema::Operation& op : bundle->operations) work.cost += schema::cost_of(op);
  }
  return work;
}

}  // namespace

// The batch is the next of the agreed history: executes it and makes the own share, unless the
// result contradicts what is known of it.
std::optional<Work> Core::apply(const std::shared_ptr<const ParsedBatch>& batch,
                                const std::optional<KnownResult>& known) {
  const Seq seq = executed_seq() + 1;
  BFTMETA_ASSERT(batch->batch.seq == seq);
  auto outcome = machine_.execute(*batch);
  if (!outcome) {
    if (transfers_ && outcome.error().code == Errc::corrupt)
      begin_transfer(std::move(outcome.error()));
    else
      halt(std::move(outcome.error()));
    return std::nullopt;
  }
  history_[seq] = {outcome->header, batch};
  history_bytes_ += batch->bytes;
  const std::uint64_t waited = pending_.executed(*batch, machine_, now_.mono_us);
  if (waited != 0) request_latency_.add(waited);
  note_epoch_end(outcome->body);
  if (mutant(Mutant::share_of_wrong_state) && seq % 7 == self_) outcome->body.state_root[0] ^= 1;
  if (!body_agrees(outcome->body) || !header_agrees(outcome->body, known)) return std::nullopt;
  if (seq > certified_seq()) {
    if (may_sign_share(seq)) {
      shares_[seq].insert_or_assign(self_, messages::sign_share(signer_, outcome->body, self_));
      verified_shares_[seq] |= 1U << self_;
    }
    own_bodies_[seq] = std::move(outcome->body);
    if (outcome->awaited) want(seq);
  }
  return work_of(*batch, outcome->first_time);
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
                      (s->committed && *s->committed == parsed->digest) ||
                      mutant(Mutant::batch_digest_unchecked);
  if (wanted) attach_batch(seq, std::make_shared<ParsedBatch>(std::move(*parsed)));
}

void Core::on(ReplicaId from, messages::FetchBatch m) {
  if (const Slot* s = find(m.seq); s != nullptr && s->batch && s->batch->digest == m.digest)
    return answer(from, messages::BatchData{s->batch->batch});
  if (const auto it = history_.find(m.seq);
      it != history_.end() && it->second.header.batch_digest == m.digest)
    return answer(from, messages::BatchData{it->second.batch->batch});
  if (!budget_.may_answer(from, now_.mono_us)) return;  // before the archive is read
  if (auto batch = archive_.batch(m.seq, m.digest))
    answer(from, messages::BatchData{std::move(*batch)});
}

}  // namespace bftmeta::consensus
