// What every Byzantine strategy (protocol §11.2) is made of: who it is, whom it conspires with,
// what it has seen, and the seam's calls turned into hooks. The same classes run in the simulator
// and in bftmetad-evil; no release build contains them. Time comes in with the calls; chance comes
// from a seed. Thread-safety: the driver's thread; lies() from any.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "adversary/witness.hpp"
#include "config/genesis.hpp"
#include "consensus/interceptor.hpp"
#include "crypto/signer.hpp"
#include "sim/random.hpp"

namespace bftmeta::adversary {

using messages::PeerMessage;
using messages::Proposal;
using messages::ReplicaId;
using messages::Seq;
using messages::View;

// Of what a strategy remembers per message, so that hours in a real process cost no memory.
constexpr std::size_t kMaxRemembered = 4096;

// What only the simulator can give; empty functions in a real process.
struct Powers {
  // Cuts the power of all correct replicas at once; they come back. False: not any more.
  std::function<bool()> cut_power;
  // When the next timer of this replica fires.
  std::function<std::uint64_t(ReplicaId)> next_timer;
  // The change that waits for READY of this key in the state of a correct replica, and the
  // configuration that correct replicas have got to.
  std::function<std::optional<Hash>(const PublicKey&)> unconfirmed;
  std::function<const config::Config&()> newest;
  // Sends a message in another epoch than the sender is in.
  std::function<void(std::uint64_t epoch, ReplicaId from, ReplicaId to, const PeerMessage&)> say_in;
};

// A client in the plot. In a real process it is a key that nobody has registered.
struct ClientAccount {
  std::shared_ptr<const crypto::Signer> signer;
  std::optional<Id16> session;    // open, if it has one
  std::uint64_t next_bundle = 1;  // of that session
};

// What the Byzantine replicas of one cluster share in one epoch: keys, also of those that are no
// members, knowledge, and what was told to whom.
struct Conspiracy {
  std::map<ReplicaId, const crypto::Signer*> members;
  std::shared_ptr<ClientAccount> client = std::make_shared<ClientAccount>();
  Witness witness;
  Powers powers;
  // What receivers were told to be the proposal of a (view, seq) if it was not the same for all.
  std::map<std::pair<View, Seq>, std::map<ReplicaId, Proposal>> told;
  std::shared_ptr<const Conspiracy> before;  // of the epoch before this one

  bool includes(ReplicaId r) const { return members.contains(r); }
};

struct Identity {
  ReplicaId self = 0;
  Hash cluster_id{};
  config::Config config;
  Seq epoch_start = 0;  // last sequence number of the epoch before; 0 in the first
  const crypto::Signer* signer = nullptr;  // the Byzantine replica's own key: it may sign anything
  std::uint64_t seed = 1;
  consensus::Timing timing = {};  // what correct replicas wait for
  // What more instances of this replica are made of.
  const crypto::Verifier* verifier = nullptr;
  std::function<std::unique_ptr<consensus::StateMachine>()> fresh_machine;
  std::shared_ptr<Conspiracy> conspiracy = std::make_shared<Conspiracy>();
  std::shared_ptr<std::atomic<std::uint64_t>> lies =
      std::make_shared<std::atomic<std::uint64_t>>(0);

  messages::EpochContext context() const {
    return {crypto::Context{cluster_id, config.epoch}, epoch_start};
  }
  bool is_primary(View view) const { return config.primary(view) == self; }
};

// A correct replica's behaviour; strategies override the hooks of what they bend.
class Strategy : public consensus::Interceptor {
 public:
  explicit Strategy(Identity identity);

  void outgoing(ReplicaId to, std::vector<PeerMessage>& messages, consensus::Now now) final;
  bool incoming(ReplicaId from, const PeerMessage& message, consensus::Now now) final;
  bool submitted(const messages::Item& item) final { return submit(item); }
  bool answer(messages::ReplicaMessage& message) final { return reply(message); }
  bool tick(consensus::Now now) final;
  std::vector<Unasked> unasked(consensus::Now now) final;
  std::uint64_t deadline() const final;

  // How often it really misbehaved: counted when a false message is handed over to be sent, or a
  // due one is withheld. Survives the strategy: a test keeps it.
  std::shared_ptr<const std::atomic<std::uint64_t>> lies() const { return id_.lies; }

 protected:
  using Messages = std::vector<PeerMessage>;

  // ---- hooks, in the words of the seam
  virtual void send(ReplicaId /*to*/, Messages& /*messages*/) {}
  virtual bool receive(ReplicaId /*from*/, const PeerMessage& /*message*/) { return true; }
  virtual bool submit(const messages::Item& /*item*/) { return true; }
  virtual bool reply(messages::ReplicaMessage& /*message*/) { return true; }
  virtual bool see_tick() { return true; }
  virtual void act() {}  // every period_us, and after each event when that is 0
  // Of a strategy that wraps another one.
  virtual std::vector<Unasked> more() { return {}; }
  virtual std::uint64_t more_at() const { return kNever; }

  // ---- tools
  void lie(std::uint64_t times = 1) { *id_.lies += times; }
  // Sends a message of its own, now or later. It counts as a lie when it leaves.
  void say(ReplicaId to, PeerMessage message) { say_at(now_us(), to, std::move(message)); }
  void say_at(std::uint64_t at_us, ReplicaId to, PeerMessage message);
  void say_to_all(const PeerMessage& message);
  // Sees to it that views change, for those that need several: after a power cut the primary
  // abdicates. Not all the time: work goes on in between. Where nobody can cut the power it waits.
  void unsettle();
  // Unsettling where this replica itself is the primary of this view.
  virtual void leave(View /*view*/) {}
  // Drops the messages of these types; counts a lie for each.
  template <class... T>
  bool drop(Messages& messages) {
    const auto gone = std::erase_if(
        messages, [](const PeerMessage& m) { return (std::holds_alternative<T>(m) || ...); });
    lie(gone);
    return gone > 0;
  }

  std::uint64_t now_us() const { return now_.mono_us; }
  const config::Config& config() const { return id_.config; }
  ReplicaId self() const { return id_.self; }
  messages::EpochContext context() const { return id_.context(); }
  Conspiracy& plot() { return *id_.conspiracy; }
  Witness& witness() { return id_.conspiracy->witness; }
  // What the own core says of itself; nullptr: nothing yet.
  const messages::PeerStatus* own_status() const {
    return id_.conspiracy->witness.status_of(id_.self);
  }
  // The replicas that are not in the plot, and this many of them; the choice depends on `salt`
  // (often the view), not on when it is asked for.
  std::vector<ReplicaId> victims() const;
  std::vector<ReplicaId> some_victims(std::size_t count, std::uint64_t salt) const;
  bool chosen(ReplicaId to, std::size_t count, std::uint64_t salt) const;
  // One half of the victims; both halves have at least one.
  bool in_first_half(ReplicaId to, std::uint64_t salt) const;

  const Identity id_;
  sim::Random random_;
  consensus::Now now_;
  std::uint64_t period_us_ = 0;  // of act(); set by the constructor

 private:
  std::multimap<std::uint64_t, Unasked> outbox_;  // by the time when they leave
  std::uint64_t next_act_us_ = 0;
  Seq settled_ = 1;               // certified before the next power cut
  std::uint64_t settled_us_ = 0;  // and not before
};

}  // namespace bftmeta::adversary
