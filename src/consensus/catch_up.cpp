// Following history without agreement (protocol §4.4): a batch is executed only when a header chain
// ties its digest to a certified history, or to one that W replicas signed.
#include "consensus/core.hpp"

namespace bftmeta::consensus {

using messages::Batch;
using messages::BatchHeader;
using messages::FetchHistory;
using messages::HistoryData;
using messages::ParsedBatch;

// The highest sequence number that is proven to be committed, or, for asking only, claimed.
Seq Core::evidence_seq() const {
  Seq best = certified_seq();
  for (const auto& [seq, shares] : shares_)
    if (shares.size() >= config_.weak_quorum()) best = std::max(best, seq);
  std::vector<Seq> claims;  // W claims contain one of a correct replica
  for (const auto& [replica, peer] : peers_) claims.push_back(peer.status.executed);
  std::ranges::sort(claims, std::greater<>{});
  return std::max(best,
                  claims[mutant(Mutant::highest_claim_believed) ? 0 : config_.weak_quorum() - 1]);
}

// history_hash(seq) as a certificate or W valid equal shares prove it.
std::optional<Hash> Core::proven_history(Seq seq) const {
  if (const auto it = recent_certs_.find(seq); it != recent_certs_.end())
    return it->second.body.history_hash;
  const auto it = shares_.find(seq);
  if (it == shares_.end()) return std::nullopt;
  std::map<Hash, std::uint32_t> votes;
  for (const auto& [replica, share] : it->second)
    if (messages::verify_share(verifier_, config_, share) &&
        ++votes[share.body.digest()] >=
            (mutant(Mutant::history_by_one_share) ? 1 : config_.weak_quorum()))
      return share.body.history_hash;
  return std::nullopt;
}

// Called with every STATUS round: who is behind and got nowhere for a whole round asks one peer
// after another. Being behind for a moment is normal: certificates may arrive before the own
// execution.
void Core::ask_for_history() {
  const bool stuck = stuck_at_ == executed_seq();
  stuck_at_.reset();
  if (transferring_ || evidence_seq() <= executed_seq()) return;
  stuck_at_ = executed_seq();
  stuck_rounds_ = stuck ? stuck_rounds_ + 1 : 0;
  if (!stuck) return;
  constexpr std::uint32_t kPatience = 4;  // rounds; history is the better answer while there is one
  if (mutant(Mutant::transfer_impatient) && try_transfer()) return;
  if (stuck_rounds_ >= kPatience) {
    if (try_transfer()) return;
    ask_for_prepared();
  }
  for (std::uint32_t i = 0; i < config_.n(); ++i) {
    const ReplicaId peer = next_peer();
    if (peers_.at(peer).status.executed <= executed_seq()) continue;
    return send(peer, FetchHistory{executed_seq()});
  }
}

void Core::on(ReplicaId from, FetchHistory m) {
  Peer& peer = peers_[from];
  if (m.executed >= executed_seq() || out_of_service() || mutant(Mutant::no_history)) return;
  if (peer.history_us != 0 && now_.mono_us - peer.history_us < timing_.status_busy / 10 &&
      !mutant(Mutant::answers_unlimited))
    return;
  if (!budget_.may_answer(from, now_.mono_us)) return;
  peer.history_us = now_.mono_us;

  answer(from, history_above(m.executed));
}

// Empty: older than what is kept or than this epoch, and only a state transfer helps.
HistoryData Core::history_above(Seq executed) const {
  HistoryData data;
  data.first = executed + 1;
  if (executed < epoch_start_) return data;  // certified by members of another epoch
  const Seq known = mutant(Mutant::uncertified_not_given)
                        ? std::min(executed_seq(), certified_seq())
                        : executed_seq();
  const Seq last = std::min<Seq>(known, executed + limits::kMaxHeaderChain);
  Seq end = last;  // with a certificate if one lies in reach, else shares must prove it
  for (Seq s = last; s >= data.first && !data.cert; --s) {
    const auto it = recent_certs_.find(s);
    if (it != recent_certs_.end())
      data.cert = it->second;
    else if (s <= certified_seq())
      data.cert = archive_.certificate(s);
    if (data.cert) end = s;
  }
  std::size_t room = limits::kMaxFrame - limits::kMaxBatchBytes / 2;
  bool bodies = true;
  for (Seq s = data.first; s <= end; ++s) {
    const auto it = history_.find(s);
    const auto header =
        it != history_.end() ? std::optional(it->second.header) : archive_.header(s);
    if (!header) return {data.first, {}, {}, std::nullopt};
    data.headers.push_back(*header);
    room -= std::min(room, sizeof(BatchHeader));
    if (!bodies) continue;
    auto batch = it != history_.end() ? std::optional(it->second.batch->batch)
                                      : archive_.batch(s, header->batch_digest);
    const std::size_t size = batch ? encoded_size(*batch) : 0;
    bodies = batch && size <= room;
    if (!bodies) continue;
    room -= size;
    data.batches.push_back(std::move(*batch));
  }
  if (data.batches.empty()) return {data.first, {}, {}, std::nullopt};
  return data;
}

void Core::on(ReplicaId from, HistoryData m) {
  if (transferring_ || m.first != executed_seq() + 1 || m.batches.size() > m.headers.size()) return;
  if (m.headers.empty()) return note_too_old(from);
  const Seq last = m.first + m.headers.size() - 1;
  if (beyond_epoch(last)) return;
  if (m.cert) {
    if (m.cert->body.seq != last) return;
    const auto known = recent_certs_.find(last);
    if (known == recent_certs_.end() || known->second != *m.cert) {
      if (!may_check(from, quorum())) return;
      if (!checked(from,
                   messages::verify_cert(verifier_, cluster_id_, config_, *m.cert).has_value()))
        return;
      recent_certs_.insert_or_assign(last, *m.cert);
    }
  }
  if (!m.cert && !may_check(from, quorum())) return;  // shares are checked instead
  const auto target = proven_history(last);
  if (!target) return;
  Hash history = machine_.history_hash();
  Seq expected = m.first;
  for (const BatchHeader& header : m.headers) {
    if (header.seq != expected++) return;
    history = messages::extend_history(history, header);
  }
  if (history != *target && !mutant(Mutant::history_unchecked)) return;

  for (std::size_t i = 0; i < m.batches.size() && !halted_; ++i) {
    if (beyond_epoch(m.headers[i].seq)) return;  // one of them has ended it
    auto parsed = messages::parse_batch(context(), std::move(m.batches[i]));
    if (!parsed || parsed->digest != m.headers[i].batch_digest) return;
    const KnownResult known{
        m.headers[i],
        "executing the agreed batch gave another result than at the other replicas; this "
        "replica's state is damaged"};
    if (!execute(std::make_shared<ParsedBatch>(std::move(*parsed)), known)) return;
  }
  if (m.cert && m.batches.size() == m.headers.size()) adopt_cert(std::move(*m.cert));
  stuck_at_ = executed_seq();  // go on at once while there is more to get
  ask_for_history();
}

}  // namespace bftmeta::consensus
