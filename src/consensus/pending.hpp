// Client items that are known, valid and not yet executed: the primary's queue and every backup's
// age timers in one (protocol §2.3, §5.4). Per-session FIFO, round-robin over clients. Bounded; the
// newest is refused, never another client's dropped. What is first in line of its session and comes
// by FORWARD has room of its own: a backup times it, so refusing it would make correct backups
// suspect a correct primary (T5.18).
//
// Liveness: what a correct primary knows and executed state admits is proposed after finitely many
// batches, because each client's queue of a session has a place in line of its own, which nothing
// but the execution of that client's bundles moves, and clients take turns. What executed state
// admits no more leaves the queue when it was in a batch, and at a backup before it is forwarded
// again; so no item stays that is timed at backups and refused by every correct primary.
// Thread-safety: one thread.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "consensus/state_machine.hpp"

namespace bftmeta::consensus {

struct PendingItem {
  messages::Item item;
  std::shared_ptr<const messages::ParsedItem> parsed;
  std::uint64_t since_us = 0;      // age timer starts
  messages::Seq proposed_at = 0;   // 0: waits for a proposal
  std::uint64_t forwarded_us = 0;  // last FORWARD to the primary
  // Whose FORWARD brought it into the room for those; nullopt: it counts for its client.
  std::optional<messages::ReplicaId> forwarder;
};

class Pending {
 public:
  static constexpr std::size_t kMaxItems = 65536;             // 8 x 8192 sessions in full flight
  static constexpr std::size_t kMaxBytes = 64 * 1024 * 1024;  // 128 full batches
  static constexpr std::size_t kMaxClientBytes = 8 * 1024 * 1024;  // so that one cannot fill it

  // Of the items that each replica forwards beyond these limits, and that are first in line: as
  // much as its own queue may hold, so that no correct replica's is ever refused.
  static constexpr std::size_t kMaxForwardItems = kMaxItems;
  static constexpr std::size_t kMaxForwardBytes = kMaxBytes;

  enum class Added : std::uint8_t { added, duplicate, full };
  // `forwarder`: the replica whose FORWARD this is.
  Added add(messages::Item item, std::shared_ptr<const messages::ParsedItem> parsed,
            const StateMachine& machine, std::uint64_t now_us,
            std::optional<messages::ReplicaId> forwarder = std::nullopt);
  // With the signature under which it was added; nullptr: none.
  const PendingItem* find(const Hash& digest) const;
  std::size_t size() const { return items_.size(); }
  std::size_t waiting() const { return items_.size() - proposed_; }
  std::size_t waiting_bytes() const { return waiting_bytes_; }

  // Items for the next batch: in bundle order within a session and without gaps above what is
  // executed or proposed already; one per client and round. They are marked with `seq`.
  std::vector<messages::Item> take(messages::Seq seq);

  // A batch that somebody else proposed.
  void mark_proposed(const messages::ParsedBatch& batch);
  // After execution: what `machine` would not accept any more is gone, with every item of the same
  // sessions up to their last executed bundle. An item that was skipped (ordered before its
  // predecessor) waits again. What became first in line of its session by this batch is timed from
  // now; a replayed bundle moves nobody's timer (T5.17). Returns the longest time that an item of
  // the batch had been first in line here.
  std::uint64_t executed(const messages::ParsedBatch& batch, const StateMachine& machine,
                         std::uint64_t now_us);
  // After a state transfer: batches were executed that were not seen here. All age timers start
  // again.
  void moved_on(const StateMachine& machine, std::uint64_t now_us);
  // Drops what can never be executed: sessions end while their bundles wait.
  void drop_dead(const StateMachine& machine);
  // A new view: nothing is proposed any more, all age timers start again.
  void requeue_all(std::uint64_t now_us);

  // The items that a correct primary could have proposed: the first in line of each session, and
  // every SESSION-OPEN. Only they are timed. A bundle whose predecessor is missing is not: else a
  // client that sends every second one makes backups suspect a correct primary.
  void for_each_timed(const std::function<void(const Hash&, const PendingItem&)>& visit) const;

  // Timed items that nobody proposed and that wait, or were forwarded, `age_us` ago: their FORWARD
  // may be lost. At most `max_bytes`; what is left follows with a later call. What `machine` would
  // not accept any more (its session has ended) is dropped instead: a correct primary refuses it.
  std::vector<messages::Item> take_forwards(const StateMachine& machine, std::uint64_t age_us,
                                            std::size_t max_bytes, std::uint64_t now_us);

 private:
  struct SessionQueue {
    std::map<std::uint64_t, Hash> numbers;
    std::uint64_t last = 0;  // executed; number last + 1 is first in line
  };
  // A session's place in one batch: the next number that may be proposed.
  struct Line {
    const std::map<std::uint64_t, Hash>* numbers;
    std::uint64_t next = 0;
    const Hash* digest() const {
      const auto it = numbers->find(next);
      return it == numbers->end() ? nullptr : &it->second;
    }
  };
  struct Usage {
    std::size_t items = 0;
    std::size_t bytes = 0;
  };

  bool has_room(const messages::ParsedItem& parsed, std::size_t size) const;
  bool first_in_line(const messages::ParsedItem& parsed, const StateMachine& machine) const;
  std::map<PublicKey, std::vector<Line>> lines() const;
  void erase(const Hash& digest);
  void set_proposed(PendingItem& item, messages::Seq seq);

  std::map<Hash, PendingItem> items_;
  std::map<PublicKey, std::map<Id16, SessionQueue>> bundles_;  // by client and session
  std::map<PublicKey, std::map<Hash, bool>> opens_;
  PublicKey last_served_{};
  std::map<PublicKey, std::size_t> bytes_of_;       // by client
  std::map<messages::ReplicaId, Usage> forwarded_;  // by forwarder, beyond the limits
  std::size_t bytes_ = 0;                           // of all that counts for clients
  std::size_t waiting_bytes_ = 0;
  std::size_t proposed_ = 0;
};

}  // namespace bftmeta::consensus
