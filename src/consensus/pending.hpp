// Client items that are known, valid and not yet executed: the primary's queue and every backup's
// age timers in one (protocol §2.3, §5.4). Per-session FIFO, round-robin over clients. Bounded; the
// newest is refused, never another client's dropped. Thread-safety: one thread.
#pragma once

#include <map>
#include <memory>

#include "consensus/state_machine.hpp"

namespace bftmeta::consensus {

struct PendingItem {
  messages::Item item;
  std::shared_ptr<const messages::ParsedItem> parsed;
  std::uint64_t since_us = 0;     // age timer starts
  messages::Seq proposed_at = 0;  // 0: waits for a proposal
  bool first_in_line = false;     // of its session, and timed since it was found to be
};

class Pending {
 public:
  static constexpr std::size_t kMaxItems = 65536;             // 8 x 8192 sessions in full flight
  static constexpr std::size_t kMaxBytes = 64 * 1024 * 1024;  // 128 full batches
  static constexpr std::size_t kMaxClientBytes = 8 * 1024 * 1024;  // so that one cannot fill it

  enum class Added : std::uint8_t { added, duplicate, full };
  Added add(messages::Item item, std::shared_ptr<const messages::ParsedItem> parsed,
            std::uint64_t now_us);
  bool contains(const Hash& digest) const { return items_.contains(digest); }
  std::size_t size() const { return items_.size(); }
  std::size_t waiting() const { return items_.size() - proposed_; }
  std::size_t waiting_bytes() const { return waiting_bytes_; }

  // Items for the next batch: in bundle order within a session and without gaps above what
  // `machine` has executed or what is proposed already; one per client and round. They are marked
  // with `seq`.
  std::vector<messages::Item> take(const StateMachine& machine, messages::Seq seq);

  // A batch that somebody else proposed.
  void mark_proposed(const messages::ParsedBatch& batch);
  // After execution: what `machine` would not accept any more is gone, with every item of the same
  // sessions up to their last executed bundle. An item that was skipped (ordered before its
  // predecessor) waits again. Whatever is first in line of its session now is timed from now.
  void executed(const messages::ParsedBatch& batch, const StateMachine& machine,
                std::uint64_t now_us);
  // Drops what can never be executed: sessions end while their bundles wait.
  void drop_dead(const StateMachine& machine);
  // A new view: nothing is proposed any more, all age timers start again.
  void requeue_all(std::uint64_t now_us);

  // Since when the oldest item waits that a correct primary could have proposed; nullopt: none
  // does. A bundle whose predecessor is missing is not timed: else a client that sends every second
  // one makes backups suspect a correct primary.
  std::optional<std::uint64_t> oldest_since(const StateMachine& machine) const;

  // For handing everything to a new primary.
  const std::map<Hash, PendingItem>& items() const { return items_; }

 private:
  void erase(const Hash& digest);
  void set_proposed(PendingItem& item, messages::Seq seq);

  std::map<Hash, PendingItem> items_;
  std::map<PublicKey, std::map<Id16, std::map<std::uint64_t, Hash>>>
      bundles_;  // by client, session, number
  std::map<PublicKey, std::map<Hash, bool>> opens_;
  PublicKey last_served_{};
  std::map<PublicKey, std::size_t> bytes_of_;  // by client
  std::size_t bytes_ = 0;
  std::size_t waiting_bytes_ = 0;
  std::size_t proposed_ = 0;
};

}  // namespace bftmeta::consensus
