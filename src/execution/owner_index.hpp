// Per principal, the things that it owns in an order: sessions by last activity, tombstones and
// session-open digests by expiry. Limits and evictions are decided on it. It holds nothing that is
// not in the state (rebuilt from it at start), so it is the same at every replica. Thread-safety:
// one thread.
#pragma once

#include <map>
#include <set>

#include "base/bytes.hpp"

namespace bftmeta::execution {

template <class Id>
class OwnerIndex {
 public:
  using Entry = std::pair<std::uint64_t, Id>;  // rank, then id: ties go by id

  void add(const PublicKey& owner, std::uint64_t rank, const Id& id) {
    if (owners_[owner].insert({rank, id}).second) ++total_;
  }
  void remove(const PublicKey& owner, std::uint64_t rank, const Id& id) {
    const auto it = owners_.find(owner);
    if (it == owners_.end()) return;
    total_ -= it->second.erase({rank, id});
    if (it->second.empty()) owners_.erase(it);
  }

  std::size_t total() const { return total_; }
  std::size_t of(const PublicKey& owner) const {
    const auto it = owners_.find(owner);
    return it == owners_.end() ? 0 : it->second.size();
  }
  // The owner's entry of the lowest rank.
  std::optional<Entry> first_of(const PublicKey& owner) const {
    const auto it = owners_.find(owner);
    if (it == owners_.end()) return std::nullopt;
    return *it->second.begin();
  }
  // Who owns most; among equals the smallest key.
  std::optional<PublicKey> largest_owner() const {
    const std::pair<const PublicKey, std::set<Entry>>* largest = nullptr;
    for (const auto& owner : owners_)
      if (largest == nullptr || owner.second.size() > largest->second.size()) largest = &owner;
    if (largest == nullptr) return std::nullopt;
    return largest->first;
  }

  friend bool operator==(const OwnerIndex&, const OwnerIndex&) = default;

 private:
  std::map<PublicKey, std::set<Entry>> owners_;
  std::size_t total_ = 0;
};

}  // namespace bftmeta::execution
