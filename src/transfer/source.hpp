// The serving side of a state transfer (protocol §7.7): answers from immutable versions, the newest
// certified one and the one that it has named to somebody less than kServedStateUs ago. Subtrees
// are found by hash, so most of what is asked for is served whatever state it was asked of.
// Invariants: at most kNodesBytesPerSecond per asker; no version is held for longer than
// kServedStateUs, so that the store's readers are short. Pure: time comes in, the versions read the
// store. Thread-safety: one thread.
#pragma once

#include <map>

#include "messages/transfer.hpp"
#include "transfer/pace.hpp"
#include "tree/version.hpp"

namespace bftmeta::transfer {

using messages::ReplicaId;

// FetchNodes::levels for "as many as the answer has room for".
constexpr std::uint8_t kAllLevels = 255;

// A certified state and its tree.
struct Served {
  messages::CertifiedState state;
  tree::Version version;
};

class Source {
 public:
  explicit Source(const Hash& cluster_id) : cluster_id_(cluster_id) {}

  // `newest`: the newest certified state that this replica holds, or nullptr. nullopt: `from` has
  // had its share of now. What the store cannot read is answered as gone, and take_fault() tells.
  std::optional<messages::NodesData> answer(ReplicaId from, const messages::FetchNodes& question,
                                            const Served* newest, std::uint64_t now_us);
  // Drops the version that was named, in time. Call it at least every kServedStateUs.
  void expire(std::uint64_t now_us);

  std::optional<Error> take_fault() { return std::exchange(fault_, std::nullopt); }

 private:
  Bytes fragment(const messages::SubtreeName& name, std::uint8_t levels, const Served* newest,
                 std::size_t room);
  std::optional<Bytes> fragment_of(const Served& served, const messages::SubtreeName& name,
                                   std::uint8_t levels, std::size_t room);

  const Hash cluster_id_;
  std::optional<Served> named_;
  std::uint64_t named_us_ = 0;
  std::map<ReplicaId, Pace> paces_;
  std::optional<Error> fault_;
};

}  // namespace bftmeta::transfer
