// The receiving side of a state transfer as a replica drives it, in virtual time: timers, and write
// sets that take a while to get into the store. What was not committed when the replica goes down
// is lost. Thread-safety: one thread.
#pragma once

#include "sim/machine.hpp"
#include "sim/random.hpp"
#include "sim/scheduler.hpp"
#include "transfer/receiver.hpp"

namespace bftmeta::sim {

class StateTransfer : public std::enable_shared_from_this<StateTransfer> {
 public:
  struct Callbacks {
    std::function<void(messages::ReplicaId to, messages::FetchNodes)> send;
    // A generation is in the store: the state that was fetched, or a mixture.
    std::function<void(const std::optional<messages::CertifiedState>& complete)> written;
    std::function<void(const Error&)> failed;
  };

  static std::shared_ptr<StateTransfer> start(transfer::Options options,
                                              const crypto::Verifier& verifier,
                                              Transferable& machine, Scheduler& scheduler,
                                              Random random, Callbacks callbacks);

  void on(messages::ReplicaId from, messages::NodesData answer);
  // Precondition: what was written last is complete.
  const tree::Version& version() const { return receiver_.version(); }

 private:
  StateTransfer(transfer::Options options, const crypto::Verifier& verifier, Transferable& machine,
                Scheduler& scheduler, Random random, Callbacks callbacks, tree::Version own);
  void perform(transfer::Actions& actions);
  void commit(const transfer::action::Write& write);

  Transferable& machine_;
  Scheduler& scheduler_;
  Random random_;
  Callbacks callbacks_;
  transfer::Receiver receiver_;
  std::uint64_t timer_at_ = 0;
};

}  // namespace bftmeta::sim
