// Gets blocks from peers: who is asked for which, who is believed, who is left alone. A pure state
// machine; what each peer may do wrong, and what happens then: README.md. Bounded: kMaxOpen blocks
// of at most kBlockSize are under way, the names of others wait. Time comes with each call, in
// microseconds. Thread-safety: one thread.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <set>

#include "messages/blocks.hpp"
#include "messages/certificate.hpp"
#include "refill/walk.hpp"
#include "transfer/pace.hpp"

namespace bftmeta::refill {

using messages::ReplicaId;

// All in microseconds. Local policy.
struct Timing {
  std::uint64_t answer = 4'000'000;          // a peer has this long for a block
  std::uint64_t hedge = 500'000;             // then one that has nothing else to do is asked, too
  std::uint64_t longest_quiet = 16'000'000;  // a silent one is left alone, each time twice as long
  std::uint64_t busy = 100'000;              // one that says so, for the first time
  std::uint64_t gone = 10'000'000;           // who is not connected for so long is not waited for
};

struct FetcherOptions {
  ReplicaId self = 0;
  std::uint32_t n = 0;
  std::uint64_t bytes_per_second = 0;  // of contents that come; positive
  Timing timing;
};

// Who wants a block; there may be several.
enum class Why : std::uint8_t {
  pass,      // it goes through all blocks
  followed,  // an operation that was certified here names it
  asked,     // a client does: before all others
};
constexpr std::size_t kWhys = 3;

enum class Outcome : std::uint8_t {
  kept,     // durable
  nowhere,  // nobody who answers has it
  refused,  // it came, and the own store could not take it
};

class Fetcher {
 public:
  static constexpr std::size_t kMaxOpen = 16;               // blocks under way
  static constexpr std::size_t kPerPeer = 6;                // questions to one peer at a time
  static constexpr std::uint64_t kBurst = 4 * 1024 * 1024;  // bytes that may come at once
  static constexpr std::uint64_t kNever = ~std::uint64_t{0};

  struct Ask {
    ReplicaId to = 0;
    Hash digest{};
  };
  // Verified: to be made durable, then stored().
  struct Keep {
    Hash digest{};
    Bytes content;
  };
  struct Ended {
    NamedBlock block;
    std::array<bool, kWhys> why{};
    Outcome outcome = Outcome::kept;
    std::uint32_t denied = 0;  // bitmap of peers who said that they do not have it

    bool wanted_by(Why w) const { return why[static_cast<std::size_t>(w)]; }
  };
  struct Actions {
    std::vector<Ask> asks;
    std::vector<Keep> keeps;
    std::vector<Ended> ended;
    std::vector<ReplicaId> liars;  // banned just now
  };

  Fetcher(FetcherOptions options, std::uint64_t now_us);

  // Precondition: it is not here. Twice the same is one. `bytes` may be unknown, 0.
  void want(const NamedBlock& block, Why why);
  // Who lied gets another chance.
  void forgive();
  // The pass is over: what only it wants is forgotten, and answers to that are dropped.
  void forget();

  void connected(ReplicaId peer, bool is, std::uint64_t now_us);
  void on(ReplicaId from, messages::BlockReply reply, std::uint64_t now_us, Actions& out);
  void stored(const Hash& digest, bool durably, Actions& out);
  void tick(std::uint64_t now_us, Actions& out);
  std::uint64_t deadline() const { return deadline_us_; }  // kNever: nothing is wanted

  std::vector<Hash> digests(Why why) const;
  std::size_t wanted(Why why) const { return counts_[static_cast<std::size_t>(why)]; }
  std::uint32_t banned() const;  // bitmap

 private:
  struct Peer {
    bool banned = false;
    bool connected = false;
    std::uint64_t changed_us = 0;  // `connected`
    std::uint32_t unanswered = 0;  // in a row
    std::uint64_t quiet_until_us = 0;
    std::uint32_t asked = 0;    // questions under way
    std::uint32_t denials = 0;  // in a row
  };
  struct Wanted {
    NamedBlock block;
    std::array<bool, kWhys> why{};
    bool keeping = false;
    std::uint32_t denied = 0;    // bitmaps of peers: do not have it
    std::uint32_t silent = 0;    // did not answer in time
    std::uint32_t asked = 0;     // questions under way
    std::uint64_t asked_us = 0;  // the last one
  };
  using Entry = std::map<Hash, Wanted>::iterator;

  void time_out(std::uint64_t now_us);
  void open_more();
  void serve(Entry entry, std::uint64_t now_us, Actions& out);
  std::optional<ReplicaId> choose(const Wanted& wanted, std::uint64_t now_us) const;
  bool hopeless(const Wanted& wanted, std::uint64_t now_us) const;
  bool answered(ReplicaId from, const Hash& digest);
  void leave_alone(Peer& peer, std::uint64_t first_us, std::uint64_t now_us);
  void ban(ReplicaId id, Actions& out);
  void drop_question(ReplicaId to, const Hash& digest);
  void drop_questions(ReplicaId to);
  void end(Entry entry, Outcome outcome, Actions& out);

  const FetcherOptions options_;
  transfer::Pace pace_;
  std::vector<Peer> peers_;
  std::map<Hash, Wanted> wanted_;
  std::deque<Hash> waiting_;  // of wanted_, not open; some may have gone
  std::set<Hash> open_;
  std::map<std::pair<ReplicaId, Hash>, std::uint64_t> questions_;  // when their time is over
  std::array<std::size_t, kWhys> counts_{};                        // of wanted_
  std::uint64_t deadline_us_ = kNever;
};

}  // namespace bftmeta::refill
