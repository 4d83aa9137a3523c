// The replicated session table (protocol §8; architecture §5, FIFO): opening, activity, stored
// results, leases, eviction, tombstones. Works on the overlay of one batch. Invariants: every
// session has exactly one lease entry, at its lease_expiry_us; every tombstone one index entry; the
// counts in Counters and Principal are those of the table. Thread-safety: one thread.
#pragma once

#include "execution/owner_index.hpp"
#include "execution/state.hpp"
#include "messages/batch.hpp"
#include "schema/operations.hpp"

namespace bftmeta::execution {

// Agreed time of one batch.
struct BatchClock {
  messages::Seq seq = 0;
  std::uint64_t time_us = 0;        // exec_time
  std::uint64_t lease_time_us = 0;  // protocol §8.3: does not run while the cluster is off
};

struct SessionIndexes {
  OwnerIndex<Id16> sessions;    // rank: last_active_seq
  OwnerIndex<Id16> tombstones;  // rank: expiry_us
  OwnerIndex<Hash> opens;       // rank: valid_until_us
  friend bool operator==(const SessionIndexes&, const SessionIndexes&) = default;
};

// From the state alone; Errc::corrupt or what the store says.
Result<SessionIndexes> load_indexes(const tree::Reader& state);

// First lease_time at which a session that was active at `now` is dead: at least kLeaseUs later,
// rounded up to kLeaseGranuleUs, so that a busy session moves its lease entry once per granule.
std::uint64_t lease_expiry(std::uint64_t lease_time_us);

class Sessions {
 public:
  Sessions(State& state, SessionIndexes& indexes, const BatchClock& clock)
      : state_(state), indexes_(indexes), clock_(clock) {}

  // Sessions whose lease is over, then tombstones, then open digests, each in key order; at most
  // kMaxExpiriesPerBatch altogether.
  void expire();

  // The session, if it lives (a lease that is over counts as gone, swept or not).
  std::optional<schema::Session> find(const Id16& id);
  // SESSION-OPEN. `first_time` is false when this digest was answered before (same answer again).
  schema::BundleResult open(const messages::SessionOpen& open, bool& first_time);

  // Writes back a session that consumed a bundle, with its result; frees what is acknowledged.
  // `executed`: it counts as activity and renews the lease (an expired bundle does neither).
  void consume(const Id16& id, schema::Session session, const messages::Bundle& bundle,
               const schema::StoredResult& result, bool executed);
  std::optional<schema::StoredResult> result(const Id16& id, std::uint64_t bundle_no);

  // Removes a session with its results, lease and holds; leaves a tombstone. False: no such one.
  bool evict(const Id16& id);
  void evict_all_of(const PublicKey& principal);

 private:
  void bury(const Id16& id, const schema::Session& session);
  void exhume(const Id16& id);
  void forget_open(const Key& key);
  void make_room(const PublicKey& principal);
  void change_counts(const PublicKey& principal, int by);

  State& state_;
  SessionIndexes& indexes_;
  const BatchClock clock_;
};

}  // namespace bftmeta::execution
