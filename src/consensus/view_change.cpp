// Suspicion, VIEW-CHANGE, NEW-VIEW and entry (protocol §5.1-5.3, §5.6).
#include "base/assert.hpp"
#include "consensus/core.hpp"

namespace bftmeta::consensus {

using messages::FetchViewChange;
using messages::NewView;
using messages::NewViewVote;
using messages::PreparedCert;
using messages::Reproposal;
using messages::ViewChange;

// ---- suspicion: a level, not an event; it holds as long as its very cause does

void Core::check_suspicion() {
  if (!active_ || !may_vote()) return;
  Reason reason = view_fault_;
  const std::uint64_t patience = request_timeout();
  if (const auto oldest = pending_.oldest_since(machine_);
      oldest && now_.mono_us - *oldest > patience)
    reason = Reason::request_timeout;
  for (const auto& [seq, s] : slots_)
    if (seq > executed_seq() && s.since_us != 0 && now_.mono_us - s.since_us > patience)
      reason = Reason::proposal_timeout;
  suspect(reason);
}

void Core::suspect(Reason reason) {
  if (!may_vote()) return;
  const bool raised = suspicion_ == Reason::none && reason != Reason::none;
  suspicion_ = reason;
  if (raised) send_status();
}

// W replicas that suspect this view's primary, or have left the view, contain a correct one. One
// alone stays and keeps voting: leaving costs the others a voter (protocol §5.7).
void Core::count_suspects() {
  if (!active_) return;
  std::uint32_t count = suspicion_ != Reason::none ? 1 : 0;
  for (const auto& [replica, peer] : peers_) {
    const bool says =
        peer.status.view == view_ && peer.status.active && peer.status.suspects != Reason::none;
    const auto vc = view_change_of_.find(replica);
    const bool left = vc != view_change_of_.end() && vc->second.new_view > view_;
    if (says || left) ++count;
  }
  if (count >= config_.weak_quorum()) start_view_change(view_ + 1, suspicion_);
}

// ---- leaving

void Core::start_view_change(View view, Reason reason) {
  if (view <= view_ || !may_vote()) return;
  ViewChange vc;
  vc.new_view = view;
  vc.replica = self_;
  vc.base = cert_;
  vc.reason = reason;
  const Seq base = vc.base_seq();
  for (auto it = prepared_.upper_bound(base);
       it != prepared_.end() && it->first <= base + limits::kWindow; ++it)
    vc.prepared.push_back(it->second);
  messages::sign_view_change(signer_, context(), vc);

  view_ = view;
  active_ = false;
  new_view_deadline_ = 0;
  suspicion_ = Reason::none;
  view_fault_ = Reason::none;
  ++view_changes_done_;
  own_view_change_ = vc;
  const Lsn lsn = append(RecordKind::left, 0, encode(vc));
  note_view_change(vc);
  broadcast(std::move(vc), lsn);
  next_status_ = std::min(next_status_, now_.mono_us + timing_.status_busy);
}

void Core::note_view_change(ViewChange vc) {
  signed_by_peers_.note_view_change(vc);
  if (candidate_) {
    const Hash digest = vc.digest();
    for (const NewViewVote& vote : candidate_->votes)
      if (vote.digest == digest) fetched_view_changes_.insert_or_assign(digest, vc);
  }
  const auto it = view_change_of_.find(vc.replica);
  if (it == view_change_of_.end() || it->second.new_view < vc.new_view)
    view_change_of_.insert_or_assign(vc.replica, std::move(vc));
}

// Signed, so it does not matter who brings it.
void Core::on(ReplicaId, ViewChange m) {
  if (m.replica == self_ || m.new_view < entered_) return;
  const auto it = view_change_of_.find(m.replica);
  const bool newer = it == view_change_of_.end() || it->second.new_view < m.new_view;
  bool wanted = false;
  if (candidate_)
    for (const NewViewVote& vote : candidate_->votes)
      wanted = wanted || (vote.replica == m.replica && vote.digest == m.digest());
  if (!newer && !wanted) return;
  if (!messages::verify_view_change(verifier_, context(), config_, m)) return;
  // The primary of the own view says that it leaves: by itself a sufficient reason (§3.5, step 6).
  const bool abdication = active_ && m.replica == primary(view_) && m.new_view > view_;
  if (abdication) broadcast(m);
  note_view_change(std::move(m));
  if (abdication) start_view_change(view_ + 1, Reason::abdication);
}

// VIEW-CHANGEs for higher views of W replicas contain one of a correct replica: follow, to the
// lowest of their highest.
void Core::try_join() {
  std::uint32_t count = 0;
  View lowest = 0;
  for (const auto& [replica, vc] : view_change_of_) {
    if (replica == self_ || vc.new_view <= view_) continue;
    ++count;
    if (lowest == 0 || vc.new_view < lowest) lowest = vc.new_view;
  }
  if (count >= config_.weak_quorum()) start_view_change(lowest, Reason::joined);
}

// Known to be at `view` or above, by VIEW-CHANGE or by STATUS, this replica included (§5.4:
// counting exactly that view would deadlock).
std::uint32_t Core::replicas_at_or_above(View view) const {
  std::uint32_t count = view_ >= view ? 1 : 0;
  for (const auto& [replica, peer] : peers_) {
    const auto vc = view_change_of_.find(replica);
    const bool by_vote = vc != view_change_of_.end() && vc->second.new_view >= view;
    if (by_vote || (peer.heard && peer.status.view >= view)) ++count;
  }
  return count;
}

void Core::arm_new_view_timer() {
  if (active_ || !may_vote() || new_view_deadline_ != 0 || replicas_at_or_above(view_) < quorum())
    return;
  new_view_deadline_ = now_.mono_us + backoff(timing_.new_view);
}

// ---- the new primary

void Core::try_new_view() {
  if (halted_ || active_ || !may_vote() || primary(view_) != self_) return;
  std::vector<const ViewChange*> votes;
  for (const auto& [replica, vc] : view_change_of_)
    if (vc.new_view == view_ && votes.size() < quorum()) votes.push_back(&vc);
  if (votes.size() < quorum()) return;
  const bool has_own =
      std::ranges::any_of(votes, [&](const auto* v) { return v->replica == self_; });
  if (!has_own) votes.back() = &view_change_of_.at(self_);
  std::ranges::sort(votes, {}, &ViewChange::replica);

  auto plan = plan_reproposals(context(), votes);
  if (!plan) return halt(std::move(plan.error()));
  NewView nv;
  nv.view = view_;
  nv.base_seq = plan->base_seq;
  std::vector<ViewChange> copies;
  for (const ViewChange* vc : votes) {
    nv.votes.push_back({vc->replica, vc->digest()});
    copies.push_back(*vc);
  }
  for (const auto& [seq, digest] : plan->digests)
    nv.proposals.push_back(
        {seq, digest, messages::sign_pre_prepare(signer_, context(), {view_, seq, digest})});
  messages::sign_new_view(signer_, context(), nv);
  enter(std::move(nv), std::move(copies), *plan);
}

// ---- everybody

// Also of a view below the own target: it is not entered, but may refute P-entries (fresh.cpp).
void Core::on(ReplicaId from, NewView m) {
  if (m.view <= entered_ || (passed_new_view_ && m.view <= passed_new_view_->view)) return;
  // A view that nobody correct is known to want could only block the way of the right one.
  if (m.view > view_ && replicas_at_or_above(m.view) < config_.weak_quorum()) return;
  if (candidate_ && candidate_->view >= m.view && m.view != view_) return;
  if (candidate_ && *candidate_ == m) return;
  if (!messages::verify_new_view(verifier_, context(), config_, m)) return;
  signed_by_peers_.note_new_view(primary(m.view), m);
  candidate_ = std::move(m);
  fetched_view_changes_.clear();
  for (const auto& [replica, vc] : view_change_of_) {
    const Hash digest = vc.digest();
    for (const NewViewVote& vote : candidate_->votes)
      if (vote.digest == digest) fetched_view_changes_.insert_or_assign(digest, vc);
  }
  for (const NewViewVote& vote : candidate_->votes)
    if (!fetched_view_changes_.contains(vote.digest)) send(from, FetchViewChange{vote.digest});
}

void Core::try_enter() {
  if (halted_ || !candidate_ || candidate_->view <= entered_) return;
  std::vector<const ViewChange*> votes;
  std::vector<ViewChange> copies;
  for (const NewViewVote& vote : candidate_->votes) {
    const auto it = fetched_view_changes_.find(vote.digest);
    if (it == fetched_view_changes_.end()) return;
    votes.push_back(&it->second);
    copies.push_back(it->second);
  }
  bool valid = true;
  for (std::size_t i = 0; i < votes.size(); ++i)
    valid = valid && votes[i]->replica == candidate_->votes[i].replica &&
            votes[i]->new_view == candidate_->view;
  if (valid) {
    auto plan = plan_reproposals(context(), votes);
    if (!plan) return halt(std::move(plan.error()));
    valid = plan->base_seq == candidate_->base_seq &&
            plan->digests.size() == candidate_->proposals.size();
    for (const Reproposal& p : candidate_->proposals)
      valid = valid && plan->digests.at(p.seq) == p.digest;
    if (valid && candidate_->view < view_) return pass_new_view();
    if (valid) return enter(*candidate_, std::move(copies), *plan);
  }
  // Signed by the new primary and wrong: T_newview, which runs, will pass it over.
  candidate_.reset();
  fetched_view_changes_.clear();
}

void Core::enter(NewView nv, std::vector<ViewChange> votes, const ReproposalPlan& plan) {
  // Nothing of the old view may be voted on any more, whatever the base certificate sets free
  // below.
  const Bodies bodies = reset_slots();
  view_ = entered_ = nv.view;
  active_ = true;
  new_view_deadline_ = 0;
  suspicion_ = view_fault_ = Reason::none;
  executed_in_view_ = 0;
  entered_record_ = {nv.view, nv, std::move(votes)};
  entered_lsn_ = append(RecordKind::entered, 0, encode(entered_record_));
  if (primary(view_) == self_ && may_vote()) broadcast(nv, entered_lsn_);
  candidate_.reset();
  fetched_view_changes_.clear();
  std::erase_if(view_change_of_, [&](const auto& e) { return e.second.new_view < view_; });
  if (plan.base) adopt_cert(*plan.base);
  if (halted_) return;
  pending_.requeue_all(now_.mono_us);
  install_reproposals(nv, bodies);
  if (active_ && primary(view_) != self_)
    for (const auto& [digest, item] : pending_.items())
      send(primary(view_), messages::Forward{item.item}, entered_lsn_);
}

// Votes of the old view are void; what was committed or executed stays.
Core::Bodies Core::reset_slots() {
  Bodies bodies;
  for (auto& [seq, s] : slots_) {
    if (s.batch) bodies[seq] = s.batch;
    Slot kept;
    kept.committed = s.committed;
    if (s.batch && s.committed == s.batch->digest) kept.batch = s.batch;
    s = std::move(kept);
  }
  return bodies;
}

// The entries of O are this view's proposals for their sequence numbers, and nothing else is
// accepted there.
void Core::install_reproposals(const NewView& nv, const Bodies& bodies) {
  reproposals_.clear();
  max_reproposed_ = nv.max_seq();
  for (const Reproposal& p : nv.proposals) {
    reproposals_[p.seq] = p;
    if (p.seq <= certified_seq()) continue;
    if (const auto done = history_.find(p.seq);
        done != history_.end() && done->second.header.batch_digest != p.digest)
      return halt(
          {Errc::internal, "NEW-VIEW of view " + std::to_string(nv.view) +
                               " replaces an executed batch: more than f replicas are faulty"});
    Slot& s = slot(p.seq);
    s.proposal = messages::Proposal{nv.view, p.seq, p.digest};
    s.primary_signature = p.signature;
    s.time_waived = true;
    s.since_us = now_.mono_us;
    if (const auto b = bodies.find(p.seq); b != bodies.end() && b->second->digest == p.digest)
      s.batch = b->second;
    else
      s.batch = find_body(p.seq, p.digest);
    if (!s.batch) broadcast(messages::FetchBatch{p.seq, p.digest});
  }
  next_seq_ = std::max({max_reproposed_, certified_seq(), executed_seq()}) + 1;
  // Items of proposals that did not survive go back into the queue: their clients sent them to the
  // old primary only (T5.11).
  for (const auto& [seq, batch] : bodies) {
    if (reproposals_.contains(seq) && reproposals_.at(seq).digest == batch->digest) continue;
    if (seq <= executed_seq()) continue;
    for (const messages::Item& item : batch->batch.items) admit(item, 0, false);
  }
  for (const Reproposal& p : nv.proposals) {
    // What it skipped in a batch that is executed here already waits for another one.
    if (Slot* s = find(p.seq); s != nullptr && s->batch && p.seq > executed_seq())
      pending_.mark_proposed(*s->batch);
    if (p.seq > certified_seq()) advance(p.seq);
  }
}

void Core::on(ReplicaId from, FetchViewChange m) {
  const ViewChange* vc = find_view_change(m.digest);
  if (vc == nullptr || (vc->replica == self_ && !may_vote())) return;
  send(from, *vc, last_lsn_);  // it may be the own one: not before it is durable
}

const ViewChange* Core::find_view_change(const Hash& digest) const {
  for (const auto& [replica, vc] : view_change_of_)
    if (vc.digest() == digest) return &vc;
  for (const ViewChange& vc : entered_record_.votes)
    if (vc.digest() == digest) return &vc;
  return nullptr;
}

// NEW-VIEW proves itself together with its VIEW-CHANGEs; anybody may hand them on (§5.6).
void Core::on(ReplicaId from, messages::FetchNewView) {
  if (!entered_record_.new_view) return;
  for (const ViewChange& vc : entered_record_.votes) send(from, vc, entered_lsn_);
  send(from, *entered_record_.new_view, entered_lsn_);
}

}  // namespace bftmeta::consensus
