// One simulated replica: the production core with a machine, a log device and timers in virtual
// time. It does what bftmetad's main loop does: performs actions in order, syncs one group at a
// time, lets a message go only when its records are durable, flushes the state at certified
// sequence numbers.
#pragma once

#include <functional>
#include <memory>

#include "consensus/core.hpp"
#include "consensus/interceptor.hpp"
#include "sim/log_device.hpp"
#include "sim/machine.hpp"
#include "sim/scheduler.hpp"

namespace bftmeta::sim {

// What a right clock shows when virtual time begins.
constexpr std::uint64_t kWallStartUs = 1'700'000'000'000'000;

struct HostSetup {
  consensus::Options options;
  const crypto::Signer* signer = nullptr;
  const crypto::Verifier* verifier = nullptr;
  std::function<std::unique_ptr<Machine>()> fresh_machine;  // the genesis state
  std::unique_ptr<LogDevice> log;
  std::unique_ptr<consensus::Interceptor> interceptor;  // nullptr: a correct replica
  std::int64_t clock_offset_us = 0;                     // of the wall clock
};

// What the cluster around a host gets to see.
struct HostCallbacks {
  std::function<void(messages::ReplicaId from, messages::ReplicaId to, messages::PeerMessage)> send;
  std::function<void(messages::ReplicaId, const consensus::Outcome&)> executed;
  std::function<void(messages::ReplicaId, const Outcome&, messages::Seq)> certified;
  std::function<void(messages::ReplicaId, const Error&)> halted;
  std::function<void(messages::ReplicaId, const std::string& why)> fenced;
};

class Host {
 public:
  Host(HostSetup setup, Scheduler& scheduler, Random random, HostCallbacks callbacks);
  ~Host();

  void start();
  void crash();  // power loss
  bool up() const { return core_ != nullptr; }
  bool correct() const { return setup_.interceptor == nullptr; }
  bool halted() const { return core_ && core_->halted(); }
  const consensus::Core& core() const { return *core_; }
  const Machine& machine() const { return *machine_; }
  std::uint64_t next_timer() const { return timer_at_; }  // an adversary may know it
  messages::ReplicaId id() const { return setup_.options.self; }

  void deliver(messages::ReplicaId from, messages::PeerMessage message);
  void submit(messages::Item item);

 private:
  class RecordingMachine;

  void step(consensus::Event event);
  void perform(consensus::Actions& actions);
  void begin_sync();
  void end_sync(std::uint64_t incarnation, std::size_t covered);
  void release(const consensus::action::Send& send);
  void arm_timer();
  void ask_interceptor();
  void certified(const messages::RootCert& cert);
  consensus::Now now() const;

  HostSetup setup_;
  Scheduler& scheduler_;
  Random random_;
  HostCallbacks callbacks_;
  std::unique_ptr<Machine> flushed_machine_;  // survives a crash
  std::optional<messages::RootCert> flushed_cert_;

  std::uint64_t incarnation_ = 0;
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<RecordingMachine> recording_;
  std::unique_ptr<consensus::Archive> archive_;
  std::unique_ptr<consensus::Core> core_;
  std::vector<consensus::action::Send> waiting_;  // for their records
  consensus::Lsn appended_ = consensus::kRecoveredLsn;
  consensus::Lsn durable_ = consensus::kRecoveredLsn;
  bool syncing_ = false;
  std::uint64_t timer_at_ = 0;
  std::uint64_t ask_at_ = 0;
  messages::Seq answered_ = 0;
  std::uint64_t last_flush_us_ = 0;
};

}  // namespace bftmeta::sim
