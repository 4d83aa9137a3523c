// The evidence that this replica knows of (protocol §9.6): of each offence of each member the one
// of the newest view, so it is bounded by members times offences. Thread-safety: one thread.
#pragma once

#include <map>
#include <vector>

#include "messages/evidence.hpp"

namespace bftmeta::consensus {

class EvidenceBook {
 public:
  // False, and nothing changes, if this offence of this member is known for this view or a later
  // one. Precondition: judge() said `a` of `evidence`.
  bool add(const messages::Accusation& a, messages::Evidence evidence) {
    if (knows(a)) return false;
    pages_.insert_or_assign({a.replica, a.offence}, Page{a.view, std::move(evidence)});
    return true;
  }
  bool knows(const messages::Accusation& a) const {
    const auto it = pages_.find({a.replica, a.offence});
    return it != pages_.end() && it->second.view >= a.view;
  }

  // Bit i: there is evidence against replica i.
  std::uint32_t accused() const {
    std::uint32_t bitmap = 0;
    for (const auto& [key, page] : pages_) bitmap |= 1U << key.first;
    return bitmap;
  }
  // One against this member; nullptr: none.
  const messages::Evidence* against(messages::ReplicaId replica) const {
    const auto it = pages_.lower_bound({replica, messages::Offence{}});
    return it == pages_.end() || it->first.first != replica ? nullptr : &it->second.evidence;
  }
  // That `primary` equivocated as the primary of `view`; nullptr: not known.
  const messages::Evidence* of_view(messages::ReplicaId primary, messages::View view) const {
    for (const auto offence :
         {messages::Offence::two_proposals, messages::Offence::two_new_views}) {
      const auto it = pages_.find({primary, offence});
      if (it != pages_.end() && it->second.view == view) return &it->second.evidence;
    }
    return nullptr;
  }

  std::size_t size() const { return pages_.size(); }
  const messages::Evidence* at(std::size_t index) const {
    if (index >= pages_.size()) return nullptr;
    return &std::next(pages_.begin(), static_cast<std::ptrdiff_t>(index))->second.evidence;
  }

 private:
  struct Page {
    messages::View view = 0;  // 0 of what has none
    messages::Evidence evidence;
  };
  std::map<std::pair<messages::ReplicaId, messages::Offence>, Page> pages_;
};

}  // namespace bftmeta::consensus
