// The evidence that this replica knows of (protocol §9.6): the first of each offence of each
// member, so it is bounded by members times offences. Thread-safety: one thread.
#pragma once

#include <map>
#include <vector>

#include "messages/evidence.hpp"

namespace bftmeta::consensus {

class EvidenceBook {
 public:
  // False, and nothing changes, if this offence of this member is known already. Precondition:
  // judge() said `a` of `evidence`.
  bool add(const messages::Accusation& a, messages::Evidence evidence) {
    return pages_.try_emplace({a.replica, a.offence}, std::move(evidence)).second;
  }
  bool knows(const messages::Accusation& a) const {
    return pages_.contains({a.replica, a.offence});
  }

  // Bit i: there is evidence against replica i.
  std::uint32_t accused() const {
    std::uint32_t bitmap = 0;
    for (const auto& [key, evidence] : pages_) bitmap |= 1U << key.first;
    return bitmap;
  }
  // One against this member; nullptr: none.
  const messages::Evidence* against(messages::ReplicaId replica) const {
    const auto it = pages_.lower_bound({replica, messages::Offence{}});
    return it == pages_.end() || it->first.first != replica ? nullptr : &it->second;
  }

  std::size_t size() const { return pages_.size(); }
  const messages::Evidence* at(std::size_t index) const {
    if (index >= pages_.size()) return nullptr;
    return &std::next(pages_.begin(), static_cast<std::ptrdiff_t>(index))->second;
  }

 private:
  std::map<std::pair<messages::ReplicaId, messages::Offence>, messages::Evidence> pages_;
};

}  // namespace bftmeta::consensus
