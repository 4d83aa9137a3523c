// One simulated replica: the production core with a machine, a log device, a clock and timers in
// virtual time. It does what bftmetad's main loop does: performs actions in order, syncs one group
// at a time, lets a message go only when its records are durable, flushes the state at certified
// sequence numbers, answers clients and proves reads. A full disk is waited for; when the disk
// fails the process ends, and a supervisor starts it again.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "consensus/core.hpp"
#include "consensus/interceptor.hpp"
#include "sim/clock.hpp"
#include "sim/log_device.hpp"
#include "sim/machine.hpp"
#include "sim/scheduler.hpp"
#include "sim/state_transfer.hpp"
#include "transfer/source.hpp"

namespace bftmeta::sim {

// What the oracles may demand of a replica.
enum class Standing : std::uint8_t {
  correct,
  damaged,    // its disk may lie: it may forget votes and stay down; what it executes is right
  byzantine,  // anything
};

struct HostSetup {
  consensus::Options options;
  const crypto::Signer* signer = nullptr;
  const crypto::Verifier* verifier = nullptr;
  std::function<std::unique_ptr<Machine>()> fresh_machine;  // the genesis state
  std::unique_ptr<LogDevice> log;
  Standing standing = Standing::correct;
  // Of a Byzantine replica, for each epoch that it is in; it may have none.
  std::function<std::unique_ptr<consensus::Interceptor>(const consensus::Options&)> strategy;
  bool lingers = false;            // a removed member stays in its epoch, as if it knew no better
  std::vector<PublicKey> clients;  // sign keys, by client number
  Clock clock;
};

// What the cluster around a host gets to see.
struct HostCallbacks {
  std::function<void(messages::ReplicaId from, const std::vector<messages::ReplicaId>& to,
                     const messages::PeerMessage&)>
      send;
  std::function<void(messages::ReplicaId from, std::uint32_t client, messages::ReplicaMessage)>
      answer;
  std::function<void(messages::ReplicaId, const messages::ParsedBatch&, const consensus::Outcome&)>
      executed;
  // A record goes to the log; `wall_us` is what the replica's clock shows.
  std::function<void(messages::ReplicaId)> started;
  std::function<void(messages::ReplicaId, const consensus::Record&, std::uint64_t wall_us)> logged;
  // Of a batch that a certificate covers now.
  std::function<void(messages::ReplicaId, const Outcome&)> certified;
  std::function<void(messages::ReplicaId, const Error&)> halted;
  // It has found out that its state is not the agreed one.
  std::function<void(messages::ReplicaId)> diverged;
  // It gives up history and fetches a state; `resumed`: it goes on with that after a start.
  std::function<void(messages::ReplicaId, messages::Seq floor, bool resumed)> transfer_began;
  std::function<void(messages::ReplicaId, const messages::CertifiedState&, const tree::Version&)>
      transfer_ended;
  std::function<void(messages::ReplicaId, const std::string& why)> fenced;
  // It holds proof of what a member signed.
  std::function<void(messages::ReplicaId, const messages::Accusation&)> accused;
  // It refuses to start on what its disk holds, for good.
  std::function<void(messages::ReplicaId, const Error&)> refused;
  // It is in the epoch behind this step from now on, as a member or not.
  std::function<void(messages::ReplicaId, const messages::EpochStep&)> epoch;
};

class Host {
 public:
  Host(HostSetup setup, Scheduler& scheduler, Random random, HostCallbacks callbacks);
  ~Host();

  void start();
  void crash(Survival survival);                        // power loss; stays down
  void kill();                                          // the process ends; stays down
  bool up() const { return core_ != nullptr; }          // as a member
  bool running() const { return machine_ != nullptr; }  // or as who joins
  bool member() const { return id() < setup_.options.config.n(); }
  std::uint64_t epoch() const { return setup_.options.config.epoch; }
  const config::Config& config() const { return setup_.options.config; }
  crypto::Context context() const { return {setup_.options.cluster_id, epoch()}; }
  // What whoever is still in an earlier epoch lacks.
  messages::Epochs steps_from(std::uint64_t epoch) const;
  void deliver_epochs(const messages::Epochs& epochs);
  bool gone() const { return gone_; }  // it will never start again
  Standing standing() const { return setup_.standing; }
  bool correct() const { return setup_.standing == Standing::correct; }
  const consensus::Core& core() const { return *core_; }
  const Machine& machine() const { return *machine_; }
  LogDevice& log() { return *setup_.log; }
  // A new disk under the old key: another store, which has heard of nothing. Precondition: down.
  void wipe();
  // Its page store is lost, its log is not. Precondition: down.
  void lose_state();
  Clock& clock() { return setup_.clock; }
  messages::ReplicaId id() const { return setup_.options.self; }
  std::uint64_t inbox() const { return inbox_.size(); }
  std::uint64_t transfers() const { return transfers_; }  // states that it has fetched
  std::uint64_t next_timer() const { return timer_at_; }  // an adversary may know it

  void deliver(messages::ReplicaId from, messages::PeerMessage message);
  void deliver_client(std::uint32_t client, messages::ClientMessage message);

  // ---- what makes it slow or wrong
  void slow_disk(std::uint64_t extra_us, std::uint64_t until_us);
  void slow_execution(std::uint64_t per_batch_us) { execution_us_ = per_batch_us; }
  void flush(bool on) { flushes_ = on; }
  // From the next batch on its state differs from what it should be: until another one is fetched
  // or read from the disk, or for ever.
  enum class Diverges : std::uint8_t { never, once, always };
  void diverge(Diverges how) { diverges_ = how; }

 private:
  class RecordingMachine;
  static constexpr std::uint64_t kRestartUs = 50'000;      // a supervisor's patience
  static constexpr std::uint64_t kSpaceRetryUs = 100'000;  // between looks at a full disk
  static constexpr std::size_t kMaxInbox = 20'000;         // events; a socket drops more
  static constexpr std::size_t kMaxAsked = 10'000;         // requests whose client waits here

  void open_machine();
  bool holds_mixture() const;
  void down();
  void forget_divergence();
  void abort();
  void step(consensus::Event event);
  void perform(consensus::Actions& actions);
  void drain();
  void begin_sync();
  void end_sync(std::uint64_t life, std::size_t covered);
  void note_space(bool available);
  void release(const consensus::action::Send& send);
  void arm_timer();
  void ask_interceptor();
  void certified(const messages::RootCert& cert);
  void maybe_flush();
  void begin_flush(const messages::RootCert& cert);
  void end_flush(std::uint64_t life, const messages::RootCert& cert);
  void try_transfer();
  transfer::Options transfer_options(messages::Seq floor);
  bool stays(const messages::EpochStep& newest) const;
  void enter_epoch(const messages::EpochStep& step);
  void enter_epochs(std::vector<messages::EpochStep> steps);
  void learn();
  void learnt(const messages::CertifiedState& state);
  void announce();
  void transfer_written(const std::optional<messages::CertifiedState>& complete);
  void answer(std::uint32_t client, messages::ReplicaMessage message);
  bool awaited(messages::Seq seq) const;
  void answer_again(std::uint32_t client, const messages::ParsedItem& item);
  void answer_fresh(const consensus::action::AnswerFresh& action);
  messages::ReadReply read(std::uint32_t client, const messages::Read& read) const;
  consensus::Now now() const;

  HostSetup setup_;
  Scheduler& scheduler_;
  Random random_;
  HostCallbacks callbacks_;
  std::unique_ptr<consensus::Interceptor> interceptor_;  // survives a crash, not an epoch
  std::unique_ptr<Machine> flushed_machine_;             // survives a crash
  std::optional<messages::RootCert> flushed_cert_;
  std::uint64_t transfers_ = 0;
  std::vector<messages::EpochStep> steps_;        // survives a crash
  std::vector<messages::EpochStep> shown_steps_;  // by a peer, newest
  bool mixture_ = false;                          // the store holds a state transfer under way
  bool gone_ = false;
  std::uint64_t slow_disk_us_ = 0;
  std::uint64_t slow_disk_until_us_ = 0;
  std::uint64_t execution_us_ = 0;
  bool flushes_ = true;
  Diverges diverges_ = Diverges::never;

  std::uint64_t life_ = 0;         // one more whenever it starts or ends
  std::uint64_t incarnation_ = 0;  // starts of this store, as bftmetad counts them
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<RecordingMachine> recording_;
  std::unique_ptr<consensus::Archive> archive_;
  std::unique_ptr<consensus::Core> core_;
  std::deque<consensus::Event> inbox_;  // while a batch is being executed
  std::uint64_t busy_until_us_ = 0;
  std::vector<consensus::action::Send> waiting_;  // for their records
  consensus::Lsn appended_ = consensus::kRecoveredLsn;
  consensus::Lsn durable_ = consensus::kRecoveredLsn;
  bool syncing_ = false;
  bool space_ = true;  // for the log
  bool flushing_ = false;
  std::uint64_t timer_at_ = 0;
  std::uint64_t ask_at_ = 0;  // when the interceptor wants to be asked
  messages::Seq answered_ = 0;
  std::map<Hash, std::uint32_t> asked_;         // request -> client
  std::optional<messages::RootCert> readable_;  // newest whose state is here
  std::uint64_t last_flush_us_ = 0;
  std::unique_ptr<transfer::Source> source_;
  std::optional<transfer::Served> served_;       // the newest certified state that is here
  std::optional<messages::Seq> transfer_floor_;  // a transfer waits for the flush under way
  std::shared_ptr<StateTransfer> transfer_;
  std::optional<messages::CertifiedState> learnt_;  // of who is no member
};

}  // namespace bftmeta::sim
