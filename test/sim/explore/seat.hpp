// One correct replica of the small case as a value: the production core with its machine, its log
// and everything that it ever said. A seat is where such a value runs: the core refers to machine
// and archive by address, so each replica has one seat, into which a value is copied, gets events,
// and out of which it is copied again. Thread-safety: one thread.
#pragma once

#include <memory>

#include "sim/explore/world.hpp"
#include "sim/log_device.hpp"
#include "sim/toy_machine.hpp"

namespace bftmeta::sim::explore {

// Statements of one replica, restarts included: what has left it can be used for ever.
struct Said {
  std::uint64_t proposals = 0;  // bit(view, seq, batch): PRE-PREPARE, or named by its NEW-VIEW
  std::uint64_t prepares = 0;
  std::uint64_t commits = 0;
  std::uint64_t shares = 0;                 // by number of the body
  std::vector<std::uint32_t> view_changes;  // numbers of messages, ascending
  std::vector<std::uint32_t> new_views;
  friend bool operator==(const Said&, const Said&) = default;
};

struct Local {
  explicit Local(const World& world) : machine(world.cluster_id(), world.config()) {}

  std::optional<consensus::Core> core;
  ToyMachine machine;
  MemoryLog log;
  consensus::Lsn appended = consensus::kRecoveredLsn;
  std::uint64_t incarnation = 0;
  std::uint64_t mono_us = 0;
  Said said;
  std::uint64_t executed = 0;  // bit(0, seq, batch) of every batch that it ever executed
  std::uint64_t unlogged = 0;  // of said.proposals: those that its log did not have at a power cut
  // Proposals of its view that it may not know any more, as its primary; a correct one has left it.
  std::uint64_t forgotten() const;
  std::map<View, messages::ViewChange>
      view_changes;   // its own, newest of each view, as it gave them
  std::string fault;  // what a correct replica never does; empty: nothing
  Hash digest{};      // see Seat::digest()
};

class Seat {
 public:
  Seat(World& world, ReplicaId self);

  ReplicaId self() const { return self_; }
  const consensus::Core& core() const { return *local_->core; }
  const ToyMachine& machine() const { return local_->machine; }
  const Local& local() const { return *local_; }

  void boot();  // for the first time
  void load(const Local& local);
  Local save();

  // Events. Records stay unsynced until sync(), and so does what waits for them.
  void deliver(ReplicaId from, PeerMessage message);
  void submit(const messages::Item& item);
  // Until nothing is left to sync.
  void sync();
  // What is not synced is gone, then the process starts again; it asks its peers and gets these
  // answers.
  void cut_power(const std::vector<std::pair<ReplicaId, messages::HelloReply>>& answers);

  // Since load(): something went to the log or was said for the first time, or the replica stopped.
  // What a core does not answer in one of these ways it may as well not have heard yet.
  bool affected() const { return affected_; }
  // Everything that left the replica since load() or the last take; nullopt: to all.
  using Mail = std::pair<std::optional<ReplicaId>, PeerMessage>;
  std::vector<Mail> take_mail() { return std::exchange(mail_, {}); }

 private:
  class Recorder;

  void start(std::vector<consensus::Record> records);
  void step(consensus::Event event);
  void perform(consensus::Actions& actions);
  void release();
  void say(const messages::PrePrepare& m);
  void say(const messages::Prepare& m);
  void say(const messages::Commit& m);
  void say(const messages::RootShare& m);
  void say(const messages::ViewChange& vc);
  void say(const messages::NewView& nv);
  template <class Other>
  void say(const Other&) {}
  void note(std::uint64_t& set, std::uint64_t bits);
  void fault(const std::string& what);
  consensus::Now now() const { return {local_->mono_us, World::kWallUs}; }
  BatchNo number_of(const messages::Proposal& p) const;
  std::uint64_t logged_proposals(const std::vector<consensus::Record>& records) const;
  Hash digest() const;
  void add_records(Gatherer& all, std::vector<consensus::Record> records) const;
  void ask(Gatherer& all) const;

  World& world_;
  const ReplicaId self_;
  std::optional<Local> local_;  // always in the same place: core, recorder and archive refer to it
  std::unique_ptr<consensus::StateMachine> recorder_;
  std::unique_ptr<consensus::Archive> archive_;
  consensus::Lsn durable_ = consensus::kRecoveredLsn;
  std::vector<consensus::action::Send> waiting_;
  std::vector<Mail> mail_;
  bool affected_ = false;
};

}  // namespace bftmeta::sim::explore
