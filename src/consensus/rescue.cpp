// Certified, but no executor left (protocol §4.4, T4.6): a certificate survived a power cut of all
// replicas, the EXECUTED records of its batches did not. The batches are known to be committed, so
// the P-entry of the highest view among Q replicas names each one (the argument of §5.2), without a
// vote.
#include "consensus/core.hpp"

namespace bftmeta::consensus {

using messages::FetchPrepared;
using messages::ParsedBatch;
using messages::PreparedCert;
using messages::PreparedData;

void Core::ask_for_prepared() {
  if (certified_seq() <= executed_seq() || mutant(Mutant::no_rescue)) return;
  if (rescue_first_ != executed_seq() + 1 || rescue_last_ != certified_seq()) {
    rescue_first_ = executed_seq() + 1;
    rescue_last_ = certified_seq();
    rescue_answers_.clear();
    rescue_bodies_.clear();
  }
  if (may_vote() && rescue_first_ > lost_upto_) {  // else its own "none" is worth nothing
    auto& own = rescue_answers_[self_];
    own.clear();
    for (auto it = prepared_.lower_bound(rescue_first_); it != prepared_.end(); ++it)
      own.push_back(it->second);
  }
  broadcast(FetchPrepared{rescue_first_});
}

void Core::on(ReplicaId from, FetchPrepared m) {
  // Who has executed it has something better, and its P-entry may be gone: silence is no "none".
  if (m.first <= executed_seq()) return on(from, messages::FetchHistory{m.first - 1});
  // The same where the state is lost since, or votes are.
  if (m.first <= lost_upto_ || !may_vote()) return;
  PreparedData data;
  data.first = m.first;
  for (auto it = prepared_.lower_bound(m.first);
       it != prepared_.end() && data.entries.size() < limits::kWindow; ++it)
    data.entries.push_back(it->second);
  answer(from, std::move(data), last_lsn_);
}

void Core::on(ReplicaId from, PreparedData m) {
  if (m.first != rescue_first_ || rescue_first_ == 0) return;
  if (!may_check(from, m.entries.size() * (2 * config_.f() + 1))) return;
  Seq last = m.first - 1;
  for (const PreparedCert& entry : m.entries) {
    if (entry.proposal.seq <= last) return;
    if (!checked(from, messages::verify_prepared(verifier_, context(), config_, entry))) return;
    last = entry.proposal.seq;
  }
  rescue_answers_[from] = std::move(m.entries);
  try_rescue();
}

// Q answers: one of them is of a correct replica that committed the batch.
std::uint32_t Core::rescue_quorum() const {
  return mutant(Mutant::rescue_by_one_answer) ? 1 : quorum();
}

void Core::try_rescue() {
  while (!halted_ && !transferring_ && rescue_first_ != 0 &&
         rescue_answers_.size() >= rescue_quorum() && executed_seq() < rescue_last_) {
    const Seq seq = executed_seq() + 1;
    const PreparedCert* best = nullptr;
    for (const auto& [replica, entries] : rescue_answers_)
      for (const PreparedCert& entry : entries)
        if (entry.proposal.seq == seq &&
            (best == nullptr || (entry.proposal.view > best->proposal.view) !=
                                    mutant(Mutant::rescue_takes_lowest_view)))
          best = &entry;
    if (best == nullptr) return;
    const Hash digest = best->proposal.digest;
    auto body = rescue_bodies_[digest];
    if (!body) body = find_body(seq, digest);
    if (!body) return broadcast(messages::FetchBatch{seq, digest});
    if (!execute(body)) return;
    rescue_bodies_.clear();
  }
  if (executed_seq() >= rescue_last_) {
    rescue_first_ = 0;
    rescue_answers_.clear();
    rescue_bodies_.clear();
  }
}

// A batch with this digest, wherever this replica has it.
std::shared_ptr<const ParsedBatch> Core::find_body(Seq seq, const Hash& digest) const {
  if (const auto it = history_.find(seq);
      it != history_.end() && it->second.header.batch_digest == digest)
    return it->second.batch;
  if (const Slot* s = find(seq); s != nullptr && s->batch && s->batch->digest == digest)
    return s->batch;
  auto batch = messages::Batch::null(seq);
  if (messages::batch_digest(context(), batch) != digest) {
    auto stored = archive_.batch(seq, digest);
    if (!stored) return nullptr;
    batch = std::move(*stored);
  }
  auto parsed = messages::parse_batch(context(), std::move(batch));
  if (!parsed) return nullptr;
  return std::make_shared<ParsedBatch>(std::move(*parsed));
}

}  // namespace bftmeta::consensus
