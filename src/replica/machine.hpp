// The engine behind the consensus core's seam, with what answers need: the results and the tree
// version of every executed batch until its certificate has come and the answers are out.
// Thread-safety: one thread; the versions that it hands out may be read on any.
#pragma once

#include <map>

#include "consensus/state_machine.hpp"
#include "execution/engine.hpp"

namespace bftmeta::replica {

using messages::Seq;

class Machine final : public consensus::StateMachine {
 public:
  // Batches whose answers can still be built; older ones are answered from the state.
  static constexpr std::size_t kKeptBatches = 256;

  struct Entry {
    execution::Executed executed;
    tree::Version version;
  };

  explicit Machine(execution::Engine engine) : engine_(std::move(engine)) {}

  Seq executed_seq() const override { return engine_.executed_seq(); }
  Hash history_hash() const override { return engine_.checkpoint().history_hash; }
  Result<consensus::Outcome> execute(const messages::ParsedBatch& batch) override;
  consensus::Admission admit(const messages::ParsedItem& item) const override;
  std::uint64_t last_bundle(const Id16& session_id) const override;

  execution::Engine& engine() { return engine_; }
  const execution::Engine& engine() const { return engine_; }
  const Entry* entry(Seq seq) const;
  // True once after a batch that may have changed who is registered.
  bool take_principals_changed();

 private:
  execution::Engine engine_;
  std::map<Seq, Entry> entries_;
  bool principals_changed_ = true;
};

}  // namespace bftmeta::replica
