// VIEW-CHANGE, NEW-VIEW and entry (protocol §5.1-5.3, §5.6).
#include "base/assert.hpp"
#include "consensus/core.hpp"

namespace bftmeta::consensus {

using messages::FetchViewChange;
using messages::NewView;
using messages::NewViewVote;
using messages::PreparedCert;
using messages::Reproposal;
using messages::ViewChange;

// ---- leaving

void Core::start_view_change(View view, Reason reason) {
  if (view <= view_ || !may_vote()) return;
  ViewChange vc;
  vc.new_view = view;
  vc.replica = self_;
  vc.base = cert_;
  vc.reason = reason;
  const Seq base = vc.base_seq(epoch_start_);
  for (auto it = prepared_.upper_bound(base);
       it != prepared_.end() && it->first <= base + limits::kWindow; ++it)
    if (!mutant(Mutant::p_missing_in_view_change)) vc.prepared.push_back(it->second);
  messages::sign_view_change(signer_, context(), vc);

  if (reason != Reason::abdication) count_failed_view();
  if (active_) floor_.leave();
  view_ = view;
  active_ = false;
  new_view_deadline_ = 0;
  suspicion_ = view_fault_ = Reason::none;
  cause_.reset();
  rejected_new_view_.reset();
  ++view_changes_done_;
  own_view_change_ = vc;
  const Lsn lsn =
      mutant(Mutant::left_not_logged) ? last_lsn_ : append(RecordKind::left, 0, encode(vc));
  note_view_change(vc);
  broadcast(std::move(vc), lsn);
  next_status_ = std::min(next_status_, now_.mono_us + timing_.status_busy);
}

bool Core::candidate_names(const Hash& digest) const {
  return candidate_ && std::ranges::any_of(candidate_->votes, [&](const NewViewVote& vote) {
           return vote.digest == digest;
         });
}

void Core::note_view_change(ViewChange vc) {
  signed_by_peers_.note_view_change(vc);
  if (candidate_)
    if (const Hash digest = vc.digest(); candidate_names(digest))
      fetched_view_changes_.insert_or_assign(digest, vc);
  const auto it = view_change_of_.find(vc.replica);
  if (it == view_change_of_.end() || it->second.new_view < vc.new_view)
    view_change_of_.insert_or_assign(vc.replica, std::move(vc));
}

// Signed, so it does not matter who brings it.
void Core::on(ReplicaId from, ViewChange m) {
  if (m.replica == self_ || m.new_view < entered_) return;
  const auto it = view_change_of_.find(m.replica);
  if (it != view_change_of_.end() && it->second.new_view == m.new_view &&
      it->second.body_digest() != m.body_digest())
    accuse(from, {it->second, m});
  const bool newer = it == view_change_of_.end() || it->second.new_view < m.new_view;
  const bool named = candidate_ && m.new_view >= candidate_->view && candidate_names(m.digest());
  if (!newer && !named) return;
  if (!may_check(from, messages::signatures_in(config_, m))) return;
  if (!mutant(Mutant::view_change_unchecked) &&
      !checked(from, messages::verify_view_change(verifier_, context(), config_, m).has_value())) {
    if (named) reject_new_view(NewView(*candidate_));
    return accuse(from, {std::move(m), std::nullopt});
  }
  note_view_change(std::move(m));
}

// The primary of the own view, entered or pending, says that it leaves: by itself a sufficient
// reason, and nobody else can forge it (§3.5, step 6).
void Core::follow_primary() {
  const auto vc = view_change_of_.find(primary(view_));
  if (halted_ || !may_vote() || vc == view_change_of_.end() || vc->second.new_view <= view_) return;
  const bool restarted = vc->second.reason == Reason::abdication;
  broadcast(vc->second);
  start_view_change(mutant(Mutant::abdication_names_view) ? vc->second.new_view : view_ + 1,
                    restarted ? Reason::abdication : Reason::joined);
}

// VIEW-CHANGEs for higher views of W replicas contain one of a correct replica: follow, to the
// lowest of their highest.
void Core::try_join() {
  std::uint32_t count = 0;
  View lowest = 0;
  bool restarted = true;  // as all of them say
  for (const auto& [replica, vc] : view_change_of_) {
    if (replica == self_ || vc.new_view <= view_) continue;
    ++count;
    if (lowest == 0 || vc.new_view < lowest) lowest = vc.new_view;
    restarted = restarted && vc.reason == Reason::abdication;
  }
  const std::uint32_t enough = mutant(Mutant::joins_one_replica) ? 1 : config_.weak_quorum();
  if (count >= enough) start_view_change(lowest, restarted ? Reason::abdication : Reason::joined);
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
  bool second = false;
  for (const auto* known : {&entered_record_.new_view, &candidate_})
    if (*known && (*known)->view == m.view && (*known)->body_digest() != m.body_digest()) {
      second = mutant(Mutant::second_new_view_entered);
      if (!second) accuse(from, {**known, m});
    }
  if ((m.view <= entered_ && !second) || (passed_new_view_ && m.view <= passed_new_view_->view))
    return;
  // A view that nobody correct is known to want could only block the way of the right one.
  if (m.view > view_ && replicas_at_or_above(m.view) < config_.weak_quorum()) return;
  if (candidate_ && candidate_->view >= m.view && m.view != view_) return;
  if ((candidate_ && *candidate_ == m) || rejected_new_view_ == m.body_digest()) return;
  if (!may_check(from, 1 + m.proposals.size())) return;
  if (!checked(from, messages::verify_new_view(verifier_, context(), config_, m).has_value())) {
    if (messages::new_view_signed(verifier_, context(), config_, m)) reject_new_view(m);
    return accuse(from, {std::move(m), std::nullopt});
  }
  signed_by_peers_.note_new_view(primary(m.view), m);
  candidate_ = std::move(m);
  if (mutant(Mutant::candidate_stops_timer)) new_view_deadline_ = 0;
  fetched_view_changes_.clear();
  for (const auto& [replica, vc] : view_change_of_)
    if (const Hash digest = vc.digest(); candidate_names(digest))
      fetched_view_changes_.insert_or_assign(digest, vc);
  for (const NewViewVote& vote : candidate_->votes)
    if (!fetched_view_changes_.contains(vote.digest)) send(from, FetchViewChange{vote.digest});
}

// Whoever brought NEW-VIEW may not have all that it names, or be gone: one peer after another is
// asked, with every STATUS round (T5.10).
void Core::ask_for_view_changes() {
  if (!candidate_) return;
  for (const NewViewVote& vote : candidate_->votes)
    if (!fetched_view_changes_.contains(vote.digest))
      send(next_peer(), FetchViewChange{vote.digest});
}

ReplicaId Core::next_peer() {
  do ask_next_ = (ask_next_ + 1) % config_.n();
  while (ask_next_ == self_);
  return ask_next_;
}

void Core::try_enter() {
  if (halted_ || !candidate_ ||
      (candidate_->view <= entered_ && !mutant(Mutant::second_new_view_entered)))
    return;
  std::vector<const ViewChange*> votes;
  bool valid = true;
  for (const NewViewVote& vote : candidate_->votes) {
    const auto it = fetched_view_changes_.find(vote.digest);
    if (it == fetched_view_changes_.end()) return;
    votes.push_back(&it->second);
    valid = valid && it->second.replica == vote.replica && it->second.new_view == candidate_->view;
  }
  const NewView nv = *candidate_;
  if (!valid) return reject_new_view(nv);
  auto plan = plan_reproposals(context(), votes);
  if (!plan) return halt(std::move(plan.error()));
  valid = plan->base_seq == nv.base_seq && plan->digests.size() == nv.proposals.size();
  for (const Reproposal& p : nv.proposals) valid = valid && plan->digests[p.seq] == p.digest;
  if (!valid && !mutant(Mutant::new_view_plan_unchecked)) return reject_new_view(nv);
  if (nv.view < view_) return pass_new_view();
  std::vector<ViewChange> copies;
  for (const ViewChange* vc : votes) copies.push_back(*vc);
  enter(nv, std::move(copies), *plan);
}

// Signed by the new primary, and wrong for everybody who looks: no reason to wait for T_newview.
void Core::reject_new_view(const NewView& nv) {
  candidate_.reset();
  fetched_view_changes_.clear();
  if (active_ || nv.view != view_) return;
  rejected_new_view_ = nv.body_digest();
  blame_primary(Reason::invalid_new_view);
}

void Core::enter(NewView nv, std::vector<ViewChange> votes, const ReproposalPlan& plan) {
  // Nothing of the old view may be voted on any more, whatever the base certificate sets free
  // below.
  const Bodies bodies = reset_slots();
  if (active_) floor_.leave();
  floor_.enter(now_.mono_us);
  // A second, valid NEW-VIEW of this primary does not make the invalid one undone.
  if (nv.view != view_) view_fault_ = Reason::none;
  suspicion_ = view_fault_;
  cause_.reset();
  view_ = entered_ = nv.view;
  active_ = true;
  new_view_deadline_ = 0;
  executed_in_view_ = 0;
  progress_us_ = now_.mono_us;
  entered_record_ = {nv.view, nv, std::move(votes)};
  if (mutant(Mutant::entered_not_logged))
    entered_lsn_ = last_lsn_;
  else
    entered_lsn_ = append(RecordKind::entered, 0, encode(entered_record_));
  if (primary(view_) == self_ && may_vote())
    broadcast(nv, mutant(Mutant::new_view_before_durable) ? 0 : entered_lsn_);
  if (mutant(Mutant::p_dropped_on_entry)) prepared_.clear();
  candidate_.reset();
  fetched_view_changes_.clear();
  std::erase_if(view_change_of_, [&](const auto& e) { return e.second.new_view < view_; });
  if (plan.base) adopt_cert(*plan.base);
  if (halted_) return;
  if (!mutant(Mutant::items_not_requeued)) pending_.requeue_all(now_.mono_us);
  install_reproposals(nv, bodies);
  if (halted_) return;
  forward_again();
  for (messages::PrePrepare& m : early_.take(primary(view_), view_))
    on(primary(view_), std::move(m));
}

// Votes of the old view are void; what was committed or executed stays.
Core::Bodies Core::reset_slots() {
  Bodies bodies;
  for (auto& [seq, s] : slots_) {
    if (s.batch) bodies[seq] = s.batch;
    Slot kept;
    kept.committed = s.committed;
    if (mutant(Mutant::commits_of_any_view_counted)) kept.commits = s.commits;
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
    if (p.seq <= certified_seq() && !mutant(Mutant::stale_base_believed)) continue;
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
    const auto known = bodies.find(p.seq);
    const auto body = known != bodies.end() && known->second->digest == p.digest
                          ? known->second
                          : find_body(p.seq, p.digest);
    if (!body) {
      if (!mutant(Mutant::reproposed_body_not_fetched))
        broadcast(messages::FetchBatch{p.seq, p.digest});
    } else if (make_room(p.seq, body->bytes)) {
      s.batch = body;
    }
  }
  next_seq_ = std::max({mutant(Mutant::next_seq_ignores_o) ? 0 : max_reproposed_, certified_seq(),
                        executed_seq()}) +
              1;
  requeue_lost_items(bodies);
  for (const Reproposal& p : nv.proposals) {
    // What was executed and skipped here waits for another batch.
    if (Slot* s = find(p.seq); s != nullptr && s->batch && p.seq > executed_seq())
      pending_.mark_proposed(*s->batch);
    if (p.seq > certified_seq()) advance(p.seq);
  }
}

// Items of proposals that did not survive go back into the queue: their clients sent them to the
// old primary only (T5.11).
void Core::requeue_lost_items(const Bodies& bodies) {
  for (const auto& [seq, batch] : bodies) {
    const auto kept = reproposals_.find(seq);
    if (seq <= executed_seq() ||
        (kept != reproposals_.end() && kept->second.digest == batch->digest))
      continue;
    for (const messages::Item& item : batch->batch.items) admit(item, 0, false, std::nullopt);
  }
}

void Core::on(ReplicaId from, FetchViewChange m) {
  const ViewChange* vc = find_view_change(m.digest);
  if (vc == nullptr || (vc->replica == self_ && !may_vote())) return;
  answer(from, *vc, last_lsn_);  // it may be the own one: not before it is durable
}

const ViewChange* Core::find_view_change(const Hash& digest) const {
  for (const auto& [replica, vc] : view_change_of_)
    if (vc.digest() == digest) return &vc;
  for (const ViewChange& vc : entered_record_.votes)
    if (vc.digest() == digest) return &vc;
  const auto fetched = fetched_view_changes_.find(digest);
  return fetched == fetched_view_changes_.end() ? nullptr : &fetched->second;
}

// NEW-VIEW proves itself together with its VIEW-CHANGEs; anybody may hand them on (§5.6).
void Core::on(ReplicaId from, messages::FetchNewView) {
  if (!entered_record_.new_view) return;
  for (const ViewChange& vc : entered_record_.votes) answer(from, vc, entered_lsn_);
  answer(from, *entered_record_.new_view, entered_lsn_);
}

}  // namespace bftmeta::consensus
