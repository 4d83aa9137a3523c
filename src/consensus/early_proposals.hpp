// PRE-PREPAREs of views that this replica has not entered yet: a new primary proposes right behind
// its NEW-VIEW, which still has to be checked here (T5.7). Only what the primary of that view sends
// itself is kept, of its newest view only, so that nobody can take up another's room.
// Thread-safety: one thread.
#pragma once

#include <map>

#include "messages/agreement.hpp"

namespace bftmeta::consensus {

class EarlyProposals {
 public:
  // Of each sender; four times what a correct primary has in flight, 4 MiB at most. The sender's
  // newest gives way: STATUS brings it again.
  static constexpr std::size_t kMaxPerSender = 8;

  // Precondition: `from` is the primary of m's view.
  void keep(messages::ReplicaId from, messages::PrePrepare m) {
    auto& kept = of_[from];
    if (!kept.empty() && kept.front().proposal.view < m.proposal.view) kept.clear();
    if (kept.size() >= kMaxPerSender) return;
    if (!kept.empty() && kept.front().proposal.view != m.proposal.view) return;
    kept.push_back(std::move(m));
  }

  std::size_t size() const {
    std::size_t kept = 0;
    for (const auto& [sender, proposals] : of_) kept += proposals.size();
    return kept;
  }

  // What was kept of this view, in the order of its coming; nothing of it and of older views of
  // this primary stays.
  std::vector<messages::PrePrepare> take(messages::ReplicaId primary, messages::View view) {
    const auto it = of_.find(primary);
    if (it == of_.end() || it->second.front().proposal.view > view) return {};
    std::vector<messages::PrePrepare> kept = std::move(it->second);
    of_.erase(it);
    if (kept.front().proposal.view != view) kept.clear();
    return kept;
  }

 private:
  std::map<messages::ReplicaId, std::vector<messages::PrePrepare>> of_;  // never empty vectors
};

}  // namespace bftmeta::consensus
