// FRESH: when this replica may say what the newest certificate is (protocol §6.3). An operation
// that a client knows to be done has a certificate, so W correct replicas sent COMMIT for it and
// had its P-entry in their logs before that. A quorum of answers contains one of these replicas,
// and that one waits here until it holds a certificate that covers the operation.
#include <limits>

#include "consensus/core.hpp"

namespace bftmeta::consensus {

using messages::NewView;
using messages::Proposal;

void HeldQueries::hold(HeldQuery query) {
  auto& held = by_link_[query.link];
  if (held.size() == limits::kMaxFreshPerLink) held.pop_front();
  held.push_back(std::move(query));
}

std::vector<HeldQuery> HeldQueries::release(Seq blocked) {
  std::vector<HeldQuery> free;
  for (auto link = by_link_.begin(); link != by_link_.end();) {
    auto& held = link->second;
    std::erase_if(held, [&](const HeldQuery& q) {
      if (q.floor >= blocked) return false;
      free.push_back(q);
      return true;
    });
    link = held.empty() ? by_link_.erase(link) : std::next(link);
  }
  return free;
}

// Who cannot vouch for its own P-entries must be silent: its answer would count as one of a correct
// member.
bool Core::answers_fresh() const { return !halted_ && may_vote(); }

void Core::on_fresh(std::uint64_t link, messages::Fresh query) {
  if (answers_fresh()) held_queries_.hold({link, std::move(query), fresh_floor()});
}

// Not committed below the view of a later NEW-VIEW: had it been, one of the VIEW-CHANGEs under that
// NEW-VIEW would show it, and their senders have left the views below. Without this exception a
// P-entry that lost would silence its replica for as long as nobody writes. It stays in P.
bool Core::refuted(const Proposal& p) const {
  const auto by = [&p](const std::optional<NewView>& nv) {
    return nv && nv->view > p.view && nv->max_seq() < p.seq;
  };
  return by(entered_record_.new_view) || by(passed_new_view_);
}

// The highest number that this replica may have helped to commit: by COMMIT, before which the
// P-entry is durable, or by a share, and it shares what it has executed. P-entries that are not
// durable yet count too: they cost an answer less than a sync of delay.
Seq Core::fresh_floor() const {
  for (auto it = prepared_.rbegin(); it != prepared_.rend() && it->first > executed_seq(); ++it)
    if (!refuted(it->second.proposal) && !mutant(Mutant::fresh_ignores_p)) return it->first;
  return executed_seq();
}

// The lowest such number above the certificate; queries with a floor below it can be answered, also
// those whose floor was refuted meanwhile.
Seq Core::first_uncertified() const {
  if (executed_seq() > certified_seq()) return certified_seq() + 1;
  for (auto it = prepared_.upper_bound(certified_seq()); it != prepared_.end(); ++it)
    if (!refuted(it->second.proposal) && !mutant(Mutant::fresh_ignores_p)) return it->first;
  return std::numeric_limits<Seq>::max();
}

void Core::release_fresh() {
  if (held_queries_.empty() || !answers_fresh()) return;
  if (!cert_ && epoch_start_ != 0) return;  // its first batch is on its way
  auto queries = held_queries_.release(
      mutant(Mutant::fresh_not_held_back) ? std::numeric_limits<Seq>::max() : first_uncertified());
  if (!queries.empty()) out_->push_back(action::AnswerFresh{std::move(queries), cert_});
}

// A valid NEW-VIEW of a view that this replica has left without entering it: it proves what it
// proves. Kept in memory only: after a restart STATUS brings it again.
void Core::pass_new_view() {
  passed_new_view_ = std::move(candidate_);
  candidate_.reset();
  fetched_view_changes_.clear();
}

}  // namespace bftmeta::consensus
