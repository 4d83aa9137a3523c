// One more instance of the Byzantine replica: the production core with its own state machine and a
// log in memory, driven by a strategy. It is correct code, and it has the same key as the instance
// that the driver runs. Thread-safety: one thread.
#pragma once

#include "adversary/strategy.hpp"

namespace bftmeta::adversary {

class Instance {
 public:
  // Starts from what the log held. Precondition: identity.fresh_machine and verifier are there.
  Instance(const Identity& identity, consensus::Now now, std::vector<consensus::Record> log);

  void deliver(ReplicaId from, const PeerMessage& message, consensus::Now now);
  void submit(const messages::Item& item, consensus::Now now);
  void tick(consensus::Now now);  // if one is due
  std::uint64_t deadline() const { return core_->halted() ? kNever : core_->deadline(); }
  // What it has sent since it was last asked, by receiver.
  std::vector<consensus::Interceptor::Unasked> take_sent();
  const std::vector<consensus::Record>& log() const { return log_; }

 private:
  static constexpr std::uint64_t kNever = consensus::Interceptor::kNever;

  // It serves no history that its core has forgotten.
  class NoArchive final : public consensus::Archive {
   public:
    std::optional<messages::BatchHeader> header(Seq) const override { return std::nullopt; }
    std::optional<messages::Batch> batch(Seq, const Hash&) const override { return std::nullopt; }
    std::optional<messages::RootCert> certificate(Seq) const override { return std::nullopt; }
  };

  void step(consensus::Event event, consensus::Now now);
  void perform(consensus::Actions& actions);

  const ReplicaId self_;
  const std::uint32_t n_;
  std::vector<consensus::Record> log_;
  consensus::Lsn appended_ = consensus::kRecoveredLsn;
  std::vector<consensus::Interceptor::Unasked> sent_;
  std::unique_ptr<consensus::StateMachine> machine_;
  NoArchive archive_;
  std::unique_ptr<consensus::Core> core_;
};

}  // namespace bftmeta::adversary
