// Whether this replica has to fetch the state, because nobody's history leads on from what it has
// executed (protocol §7.7), and how it goes on from there. What is fetched from whom is decided in
// src/transfer; agreement goes on meanwhile, since no vote depends on executed state.
#include <bit>

#include "base/assert.hpp"
#include "consensus/core.hpp"

namespace bftmeta::consensus {

// A peer that is ahead answered without history. What it said of an earlier number does not count.
void Core::note_too_old(ReplicaId from) {
  if (too_old_at_ != executed_seq()) too_old_ = 0;
  too_old_at_ = executed_seq();
  too_old_ |= 1U << from;
}

// W peers, so that no Byzantine one makes this replica throw its state away. Called when peers were
// asked for some rounds in vain: while a single one brings history, this replica is not stuck.
bool Core::try_transfer() {
  const std::uint32_t needed = mutant(Mutant::too_old_by_one) ? 1 : config_.weak_quorum();
  const bool too_old = too_old_at_ == executed_seq() &&
                       static_cast<std::uint32_t>(std::popcount(too_old_)) >= needed;
  if (!transfers_ || !too_old || certified_seq() <= executed_seq()) return false;
  begin_transfer();
  return true;
}

// Not to a state below what was executed, unless that was wrong.
void Core::begin_transfer(std::optional<Error> unreadable) {
  transferring_ = fetching_ = true;
  rescue_first_ = 0;
  rescue_answers_.clear();
  rescue_bodies_.clear();
  const Seq floor = out_of_service() ? certified_seq() : std::max(certified_seq(), executed_seq());
  out_->push_back(action::Transfer{floor, std::move(unreadable)});
  prune();
}

// Kept until this replica may write to its log.
void Core::on_transferred(messages::CertifiedState state) {
  BFTMETA_ASSERT(transferring_ && machine_.executed_seq() == state.cert.body.seq);
  transferred_ = std::move(state);
}

// Only the execution base moves: votes, P-entries and bodies above it stay, and the view state
// (protocol §3.1). The page store is the truth about what is executed; the EXECUTED record follows
// it into the log, before the certificate, as always.
void Core::follow_transfer() {
  if (!transferred_ || diverged_again()) return;
  const messages::CertifiedState state = *std::exchange(transferred_, std::nullopt);
  const Seq seq = state.cert.body.seq;
  transferring_ = fetching_ = false;
  progress_us_ = now_.mono_us;
  too_old_ = 0;
  // How long they waited for the state says nothing of agreement.
  for (auto it = slots_.begin(); it != slots_.end() && it->first <= certified_seq(); ++it)
    it->second.since_us = 0;
  append(RecordKind::executed, seq, encode(state.header));
  flushed_ = std::max(flushed_, seq);
  const bool repaired = end_repair(seq);
  pending_.moved_on(machine_, now_.mono_us);
  next_seq_ = std::max(next_seq_, seq + 1);
  if (seq > certified_seq())
    adopt_cert(state.cert);
  else if (cert_ && seq == certified_seq())
    out_->push_back(action::Certified{*cert_});
  prune();
  next_status_ = std::min(next_status_, now_.mono_us + timing_.status_busy);
  if (repaired) resume_service();
}

}  // namespace bftmeta::consensus
