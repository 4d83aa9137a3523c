// The production engine as a simulated replica's state machine, with a page store in memory that
// survives crashes.
#pragma once

#include <map>

#include "execution/engine.hpp"
#include "sim/machine.hpp"
#include "tree/flush.hpp"
#include "tree/memory_page_store.hpp"

namespace bftmeta::sim {

class EngineMachine final : public Machine, public Transferable {
 public:
  static std::unique_ptr<Machine> genesis(const config::Genesis& genesis,
                                          const crypto::Verifier& verifier);

  messages::Seq executed_seq() const override { return engine_.executed_seq(); }
  Hash history_hash() const override { return engine_.checkpoint().history_hash; }
  Result<consensus::Outcome> execute(const messages::ParsedBatch& batch) override;
  messages::Admission admit(const messages::ParsedItem& item) const override {
    return engine_.admit(item);
  }
  std::uint64_t last_bundle(const Id16& session) const override;
  std::optional<config::Config> next_config() const override { return engine_.config(); }
  std::optional<Hash> unconfirmed(const PublicKey& vote_key) const override {
    return engine_.unconfirmed(vote_key);
  }
  std::vector<Outcome> outcomes(messages::Seq seq) const override;
  std::optional<messages::Reply> reply(messages::Seq seq, std::size_t index,
                                       const messages::RootCert& cert) const override;
  const tree::Version* version(messages::Seq seq) const override;
  void begin_flush() override;
  std::unique_ptr<Machine> finish_flush() override;
  std::unique_ptr<Machine> reopen() const override;
  Transferable* transferable() override { return this; }
  std::optional<messages::CertifiedState> certified_state(
      const messages::RootCert& cert) const override;
  std::shared_ptr<tree::PageStore> store() const override { return store_; }
  std::unique_ptr<Machine> at_genesis() const override;
  void adopt(const messages::CertifiedState& state, const tree::Version& version) override;
  Asked asked_of(const PublicKey& vote_key) const override;
  Bytes checkpoint_of(const messages::CertifiedState& state) const override {
    return encode(execution::checkpoint_of(state));
  }

 private:
  struct Entry {
    execution::Executed executed;
    std::vector<Outcome> outcomes;
    tree::Version version;
  };
  struct Flush {
    tree::WriteSet set;
    Bytes checkpoint;
  };

  static std::unique_ptr<Machine> on_store(const config::Genesis& genesis,
                                           const crypto::Verifier& verifier,
                                           std::shared_ptr<tree::MemoryPageStore> store);
  EngineMachine(const config::Genesis& genesis, const crypto::Verifier& verifier,
                execution::Engine engine, std::shared_ptr<tree::MemoryPageStore> store)
      : genesis_(genesis),
        verifier_(verifier),
        engine_(std::move(engine)),
        store_(std::move(store)) {}

  config::Genesis genesis_;
  const crypto::Verifier& verifier_;
  execution::Engine engine_;
  std::shared_ptr<tree::MemoryPageStore> store_;
  std::optional<Flush> flush_;
  std::map<messages::Seq, Entry> entries_;
};

}  // namespace bftmeta::sim
