// Client items into the queue, and out of it into proposals (protocol §2.1, §2.3).
#include "consensus/core.hpp"

namespace bftmeta::consensus {

using messages::Item;
using messages::ParsedBatch;
using messages::PrePrepare;
using messages::RefusalReason;

void Core::on_client(Item item, std::uint64_t link) {
  const bool pass_on = active_ && primary(view_) != self_ && !mutant(Mutant::items_not_forwarded);
  admit(std::move(item), link, pass_on, std::nullopt);
}

void Core::on(ReplicaId from, messages::Forward m) { admit(std::move(m.item), 0, false, from); }

// Cheapest test first. What executed state says here keeps an item out of the queue, never a batch
// from being prepared.
void Core::admit(Item item, std::uint64_t link, bool pass_on, std::optional<ReplicaId> forwarder) {
  const auto refuse = [&](const Hash& digest, RefusalReason reason) {
    if (link != 0) out_->push_back(action::Refuse{link, digest, reason});
  };
  auto parsed = messages::parse_item(item);
  if (!parsed) return refuse(item.digest(), RefusalReason::malformed);
  auto shared = std::make_shared<const messages::ParsedItem>(std::move(*parsed));
  if (const PendingItem* known = pending_.find(shared->digest)) {
    // The first may be lost. Its digest covers the signature, which was verified when it came.
    if (pass_on) send(primary(view_), messages::Forward{known->item});
    return;
  }
  switch (machine_.admit(*shared)) {
    case Admission::accept: break;
    case Admission::done:
      if (link == 0) return;
      want(executed_seq());
      out_->push_back(action::AlreadyDone{link, shared});
      return;
    case Admission::no_session: return refuse(shared->digest, RefusalReason::no_session);
    case Admission::out_of_window: return refuse(shared->digest, RefusalReason::out_of_window);
    case Admission::expired: return refuse(shared->digest, RefusalReason::expired);
  }
  if (forwarder && !budget_.may_check_vote(*forwarder, now_.mono_us)) return;
  if (pass_on && mutant(Mutant::forward_unverified)) send(primary(view_), messages::Forward{item});
  if (!mutant(Mutant::admission_signature_unchecked) &&
      !messages::verify_item(verifier_, cluster_id_, item, shared->client)) {
    if (forwarder) budget_.distrust(*forwarder);
    return refuse(shared->digest, RefusalReason::bad_signature);
  }
  if (pass_on) send(primary(view_), messages::Forward{item});
  if (pending_.size() >= Pending::kMaxItems / 2) pending_.drop_dead(machine_);
  if (pending_.add(std::move(item), shared, machine_, now_.mono_us, forwarder) ==
      Pending::Added::full)
    refuse(shared->digest, RefusalReason::busy);
}

// What this replica times and nobody proposed goes to the primary again: a FORWARD may be lost, or
// have come to a replica that was not the primary.
void Core::forward_again() {
  constexpr std::uint64_t kAgeUs = 250'000;  // as clients send again (architecture §5)
  if (!active_ || primary(view_) == self_ || !knows_what_waits() ||
      mutant(Mutant::items_not_forwarded))
    return;
  for (Item& item : pending_.take_forwards(machine_, kAgeUs, limits::kMaxBatchBytes, now_.mono_us))
    send(primary(view_), messages::Forward{std::move(item)}, entered_lsn_);
}

// One batch at once when nothing is in flight; otherwise when a slot frees or a full batch waits.
// No delay timer: the batch size follows from load and commit latency (protocol §2.3).
void Core::try_propose() {
  while (!halted_ && may_vote() && votes_fit() && is_primary() &&
         (pending_.waiting() > 0 || owes_progress())) {
    if (next_seq_ <= certified_seq() || next_seq_ <= executed_seq())
      next_seq_ = std::max(certified_seq(), executed_seq()) + 1;
    if (next_seq_ > certified_seq() + limits::kCertStall || beyond_epoch(next_seq_)) return;
    const bool full = pending_.waiting_bytes() >= limits::kMaxBatchBytes / 2 ||
                      pending_.waiting() >= limits::kMaxBundlesPerBatch;
    if (in_flight() >= (full ? max_in_flight_ : 1)) return;
    const Seq before = next_seq_;
    propose(next_seq_);
    if (next_seq_ == before) return;  // nothing that is in line
  }
}

void Core::propose(Seq seq) {
  messages::Batch batch;
  batch.seq = seq;
  batch.time_us = now_.wall_us;
  batch.items = pending_.take(seq);
  if (batch.items.empty() && !owes_progress()) return;
  auto parsed = messages::parse_batch(context(), std::move(batch));
  if (!parsed) return halt(std::move(parsed.error()));  // its own rules: a broken invariant
  Slot& s = slot(seq);
  s.proposal = messages::Proposal{view_, seq, parsed->digest};
  s.primary_signature = messages::sign_pre_prepare(signer_, context(), *s.proposal);
  s.batch = std::make_shared<ParsedBatch>(std::move(*parsed));
  s.verified = true;  // each item was on admission
  s.time_waived = true;
  s.since_us = now_.mono_us;
  next_seq_ = seq + 1;
  broadcast(PrePrepare{*s.proposal, s.primary_signature, s.batch->batch},
            std::max(entered_lsn_, watermark_lsn(seq)));
  advance(seq);
}

}  // namespace bftmeta::consensus
