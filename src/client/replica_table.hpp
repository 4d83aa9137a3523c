// What this client knows of each replica: who is likely the primary, who answers reads fast, who
// was caught lying. All of it is policy: nothing here can make a wrong answer right.
// Thread-safety: one thread.
#pragma once

#include <bit>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "client/latency.hpp"
#include "config/change.hpp"
#include "messages/batch.hpp"

namespace bftmeta::client {

using messages::ReplicaId;
using ReplicaSet = std::uint32_t;  // bit i: replica i

constexpr ReplicaSet bit(ReplicaId r) { return ReplicaSet{1} << r; }
constexpr std::uint32_t count(ReplicaSet set) {
  return static_cast<std::uint32_t>(std::popcount(set));
}

// Where the members of one epoch stand in the next; by vote key, since ids are positions.
class Renumbering {
 public:
  Renumbering(const config::Config& from, const config::Config& to);
  // nullopt: it left. Precondition: a position of the epoch before.
  std::optional<ReplicaId> position(ReplicaId before) const { return to_[before]; }
  ReplicaSet set(ReplicaSet before) const;  // of those that stayed

 private:
  std::vector<std::optional<ReplicaId>> to_;
};

class ReplicaTable {
 public:
  // `seed` decides where this client starts to read, so that many clients spread themselves.
  // `config` outlives this, and may become that of another epoch: follow() must be next.
  ReplicaTable(const config::Config& config, std::uint64_t seed);
  // Who was caught lying stays that, wherever it stands now; views start anew with the epoch.
  void follow(const Renumbering& moved);

  std::uint32_t n() const { return config_.n(); }
  std::uint32_t f() const { return config_.f(); }
  std::uint32_t quorum() const { return config_.quorum(); }
  ReplicaSet all() const { return bit(n()) - 1; }

  // The primary of the highest view that f+1 replicas say they have reached: one liar cannot send
  // this client to the wrong place for long.
  ReplicaId primary() const { return config_.primary(view_); }
  void note_view(ReplicaId replica, messages::View view);

  // A proof of this replica failed: nothing is read from it for kBlacklist.
  void blacklist(ReplicaId replica, Micros now);
  bool blacklisted(ReplicaId replica, Micros now) const;
  bool all_blacklisted(Micros now) const;

  // Where to read: the one that served last, while it is good; else the better of two random ones.
  // Never one of `avoid`; among the connected ones if there are any. nullopt: none is left.
  std::optional<ReplicaId> choose_reader(Micros now, ReplicaSet avoid, ReplicaSet connected);
  void note_read(ReplicaId replica, Micros latency);
  // It timed out, was behind, or refused: another one is preferred from now on.
  void note_bad_read(ReplicaId replica);

  const Latency& reads() const { return reads_; }
  std::uint64_t random() { return random_(); }
  // `base` plus up to a quarter of it: clients that failed together do not return together.
  Micros jittered(Micros base) { return base + random_() % (base / 4 + 1); }

 private:
  static constexpr Micros kBlacklist = 600'000'000;

  struct Entry {
    messages::View view = 0;
    Micros blacklisted_until = 0;
    Micros score = 0;  // mean latency of its reads, doubled by every bad one; 0: never asked
  };

  const config::Config& config_;
  std::vector<Entry> entries_;
  messages::View view_ = 0;
  std::optional<ReplicaId> preferred_;
  Latency reads_;  // of all replicas together: what a caller sees
  std::minstd_rand random_;
};

}  // namespace bftmeta::client
