// A cluster whose certified states follow each other, and a transfer from its replicas under
// virtual time: latencies, liars, load, and crashes of the receiver. One seed decides everything.
#pragma once

#include <functional>
#include <memory>
#include <set>

#include "model.hpp"
#include "support/cluster.hpp"
#include "transfer/receiver.hpp"
#include "transfer/source.hpp"
#include "tree/memory_page_store.hpp"

namespace bftmeta::test {

using tree::test::KeySource;
using tree::test::Rng;

class World {
 public:
  struct State {
    messages::CertifiedState state;
    tree::Version version = tree::Version::empty();
  };

  explicit World(std::uint64_t seed, std::uint32_t n = 4, std::uint64_t inodes = 500);

  // The next certified state: so many random updates more. Without: everything is erased.
  void grow(std::size_t updates, unsigned erase_percent);
  void clear();

  const Cluster& cluster() const { return cluster_; }
  const State& newest() const { return states_.back(); }
  const State& state(std::size_t i) const { return states_.at(i); }
  std::size_t size() const { return states_.size(); }
  Rng& rng() { return rng_; }

 private:
  void certify(tree::Version version);

  Cluster cluster_;
  Rng rng_;
  KeySource keys_;
  tree::test::Model model_;
  Hash history_;
  std::vector<State> states_;
};

// A store that holds this tree, and nothing else.
std::shared_ptr<tree::MemoryPageStore> stored(const tree::Version& version);

// What a peer does with a question; `honest` is what it would answer.
enum class Behaviour {
  honest,
  silent,
  trickle,        // one level at a time, each time just within the time that an answer has
  flips_bits,     // in fragments
  other_subtree,  // a sound fragment of something else
  redacts,        // leaves without their values
  gone,           // says that it has nothing
  empty,          // answers nothing
  too_many,       // fragments that nobody asked for
  old_target,     // offers its first state, for ever, and serves it
  forged_target,  // offers a state of which the certificate does not hold
  mixed_target,   // offers a certified state with the header of another
};

constexpr auto kHonest = Behaviour::honest;
constexpr std::uint64_t kSecond = 1'000'000;

class Transfer {
 public:
  using Done = std::function<bool()>;

  struct Setup {
    std::vector<Behaviour> peers;      // by replica; the last one receives
    std::uint64_t latency_us = 5'000;  // at most, one way
    std::uint64_t load_us = 0;         // between batches; 0: none
    std::size_t load_updates = 50;
    std::uint64_t load_until_us = ~std::uint64_t{0};  // after the beginning
    std::set<std::size_t> crash_before_write;         // of these numbers, from 0: it is lost
    std::set<std::size_t> crash_after_write;          // ... in the store, and nobody was told
    std::uint64_t crash_every_us = 0;
    std::size_t write_bytes = transfer::Options().write_bytes;
    std::set<std::size_t> failing_writes;  // the disk is full then, for a moment
    std::vector<tree::Subtree> damaged;    // of the store, which holds ...
    std::optional<std::size_t> restore;    // ... this state of the world, and is to hold it again
    bool epoch_over = false;  // with the newest state; the receiver is in the next epoch
  };

  Transfer(World& world, std::shared_ptr<tree::MemoryPageStore> store, Setup setup);

  // Until it is done; false: not within this time.
  bool run(std::uint64_t limit_us);

  const transfer::Receiver& receiver() const { return *receiver_; }
  std::uint64_t took_us() const { return now_us_ - kBegin; }
  std::uint64_t received() const { return received_ + receiver_->received_bytes(); }
  // What crashes took: received in that life, and not in a write that had got into the store.
  std::uint64_t lost() const { return lost_; }
  std::size_t writes() const { return writes_; }
  std::size_t largest_write() const { return largest_write_; }  // records
  std::size_t crashes() const { return crashes_; }
  std::size_t targets() const { return targets_.size(); }  // that were gone for
  // The store is exactly what a store of the receiver's state would be, and says so.
  void check_store() const;
  // The same of any state, whatever the store says.
  void check_holds(const messages::CertBody& body) const;

 private:
  struct Peer {
    Behaviour behaviour = Behaviour::honest;
    std::unique_ptr<transfer::Source> source;
    std::optional<transfer::Served> newest;
  };

  void at(std::uint64_t delay_us, std::function<void()> f);
  void start();
  void crash();
  void perform(transfer::Actions& actions);
  void ask(messages::ReplicaId to, const messages::FetchNodes& question);
  std::optional<messages::NodesData> bend(Peer& peer, const messages::FetchNodes& question,
                                          messages::NodesData honest);
  void write(transfer::action::Write write);
  void load();
  std::uint64_t latency() { return 1 + rng_() % setup_.latency_us; }

  World& world_;
  std::shared_ptr<tree::MemoryPageStore> store_;
  const Setup setup_;
  const messages::Seq floor_;
  Rng rng_;
  std::vector<Peer> peers_;
  std::unique_ptr<transfer::Receiver> receiver_;
  std::multimap<std::uint64_t, std::function<void()>> events_;
  static constexpr std::uint64_t kBegin = 1'000'000;
  std::uint64_t now_us_ = kBegin;
  std::uint64_t life_ = 0;
  std::size_t writes_ = 0;
  std::size_t largest_write_ = 0;
  std::size_t crashes_ = 0;
  std::uint64_t received_ = 0;  // in earlier lives
  std::uint64_t lost_ = 0;
  std::uint64_t stored_ = 0;  // of what this life received
  std::set<messages::Seq> targets_;
};

}  // namespace bftmeta::test
