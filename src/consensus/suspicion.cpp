// Suspicion of the primary, and the timers behind it (protocol §5.3-5.5): a level, not an event. It
// holds as long as its very cause does, whatever else goes on (T5.17).
#include "consensus/core.hpp"

namespace bftmeta::consensus {

namespace {

// A batch waits for the one in flight, so what is proposed late was known for longer than two
// commits take. Within bounds: a client's items are at every backup 250 ms after it sent them, and
// nothing that takes a second is normal here (request_min).
std::uint64_t backlog_age(std::uint64_t commit_p99) {
  return std::clamp<std::uint64_t>(2 * commit_p99, 250'000, 1'000'000);
}

}  // namespace

std::uint64_t Core::backoff(std::uint64_t base, std::uint32_t steps) const {
  return std::min(base << std::min<std::uint32_t>(steps, 16), timing_.backoff_cap);
}

// Its own cap keeps a primary that delays everything to just under it from multiplying it with
// every round (T5.20).
std::uint64_t Core::request_timeout() const {
  const std::uint64_t usual = std::max(commit_latency_.p99(), request_latency_.p99());
  return backoff(std::clamp(8 * usual, timing_.request_min, timing_.request_max), failed_views_);
}

// The view that was left is the first failed one; the next gets T0.
std::uint64_t Core::new_view_timeout() const {
  return backoff(timing_.new_view, failed_views_ == 0 ? 0 : failed_views_ - 1);
}

void Core::arm_new_view_timer() {
  if (mutant(Mutant::no_new_view_timer)) return;
  if (active_ || !may_vote() || new_view_deadline_ != 0 || replicas_at_or_above(view_) < quorum())
    return;
  if (candidate_ && mutant(Mutant::candidate_stops_timer)) return;
  new_view_deadline_ = now_.mono_us + new_view_timeout();
}

// Each view that is left lengthens all timers until views work again (16 batches halve them): no
// correct primary may be left for ever because timers are short for the network. A primary that
// restarted says nothing about that, and its abdication does not count: else a few restarts of an
// idle cluster would hide the next real failure for a minute. A faulty one that abdicates whenever
// it can is one of f between two that do not.
void Core::count_failed_view() {
  if (failed_views_ == 0 || new_view_timeout() < timing_.backoff_cap) ++failed_views_;
}

void Core::check_suspicion() {
  if (mutant(Mutant::no_suspicion)) return;
  if (!may_vote()) return;
  if (active_) observe_backlog();
  if (cause_ && !cause_holds(*cause_)) cause_.reset();
  if (active_ && !cause_) cause_ = find_cause();
  // What the primary signed is worse than what it is late with, and cannot be made good.
  suspect(view_fault_ != Reason::none ? view_fault_ : cause_ ? cause_->reason : Reason::none);
}

// Committed for certain. A quorum has executed what is certified: that it is not here is nobody's
// fault but the own one.
Seq Core::done_somewhere() const {
  return mutant(Mutant::certified_proposals_timed) ? executed_seq()
                                                   : std::max(executed_seq(), certified_seq());
}

bool Core::cause_holds(const Cause& cause) const {
  if (!active_) return false;  // no timers while no view is active
  switch (cause.reason) {
    case Reason::request_timeout: {
      if (!knows_what_waits()) return false;
      const PendingItem* item = pending_.find(cause.item);
      return item != nullptr && (machine_.admit(*item->parsed) == Admission::accept ||
                                 mutant(Mutant::twin_bundle_stays));
    }
    case Reason::proposal_timeout: return cause.seq > done_somewhere();
    default: return knows_what_waits() && floor_.slow() && !mutant(Mutant::throughput_unwatched);
  }
}

std::optional<Core::Cause> Core::find_cause() const {
  const std::uint64_t patience = request_timeout();
  // A proposal counts until it is executed, whatever keeps it: no quorum, or a hole below it that
  // the primary never fills. At the primary too (T5.12, T5.19).
  for (auto it = slots_.upper_bound(done_somewhere()); it != slots_.end(); ++it)
    if (it->second.since_us != 0 && now_.mono_us - it->second.since_us > patience)
      return Cause{Reason::proposal_timeout, it->first, {}};
  if (progress_late(patience)) return Cause{Reason::proposal_timeout, executed_seq() + 1, {}};
  if (primary(view_) == self_ || !knows_what_waits() || mutant(Mutant::requests_not_timed))
    return std::nullopt;
  std::optional<Cause> cause;
  std::uint64_t oldest = now_.mono_us - std::min(patience, now_.mono_us);
  pending_.for_each_timed([&](const Hash& digest, const PendingItem& item) {
    // What a correct primary would refuse is nobody's fault.
    if (item.since_us >= oldest ||
        (machine_.admit(*item.parsed) != Admission::accept && !mutant(Mutant::twin_bundle_stays)))
      return;
    oldest = item.since_us;
    cause = Cause{Reason::request_timeout, 0, digest};
  });
  if (!cause && floor_.slow() && !mutant(Mutant::throughput_unwatched))
    cause = Cause{Reason::slow_primary, 0, {}};
  return cause;
}

// Who is behind sees a backlog of its own making. Shares of others for a few batches may come
// before the own execution.
void Core::observe_backlog() {
  constexpr Seq kBehind = 8;
  bool backlog = false;
  if (primary(view_) != self_ && evidence_seq() <= executed_seq() + kBehind) {
    const std::uint64_t age = backlog_age(commit_latency_.p99());
    pending_.for_each_timed([&](const Hash&, const PendingItem& item) {
      backlog = backlog || (item.proposed_at == 0 && now_.mono_us - item.since_us > age);
    });
  }
  floor_.observe(backlog, now_.mono_us);
}

void Core::suspect(Reason reason) {
  if (!may_vote()) return;
  const bool raised = suspicion_ == Reason::none && reason != Reason::none;
  suspicion_ = reason;
  if (raised) send_status();
}

void Core::blame_primary(Reason reason) {
  view_fault_ = reason;
  suspect(reason);
}

// W replicas that suspect this view's primary, or have left the view, contain a correct one. One
// alone stays and keeps voting: leaving costs the others a voter (protocol §5.7). A pending view
// may be suspected as well, by those who entered it or hold its invalid NEW-VIEW.
void Core::count_suspects() {
  std::uint32_t count = suspicion_ != Reason::none ? 1 : 0;
  for (const auto& [replica, peer] : peers_) {
    const bool says = peer.status.view == view_ && peer.status.suspects != Reason::none;
    const auto vc = view_change_of_.find(replica);
    const bool left = vc != view_change_of_.end() && vc->second.new_view > view_;
    if (says || left) ++count;
  }
  if (count < (mutant(Mutant::suspicion_of_one) ? 1 : config_.weak_quorum())) return;
  start_view_change(view_ + 1, suspicion_ == Reason::none ? Reason::joined : suspicion_);
}

}  // namespace bftmeta::consensus
