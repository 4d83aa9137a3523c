// The engine behind the consensus core's seam, with what answers need: the tree version of every
// executed batch until its certificate has come, and the results of the newest batches for those
// who ask again. Thread-safety: one thread; the versions that it hands out may be read on any.
#pragma once

#include <functional>
#include <map>

#include "consensus/state_machine.hpp"
#include "execution/engine.hpp"

namespace bftmeta::replica {

using messages::Seq;

class Machine final : public consensus::StateMachine {
 public:
  // Batches whose answers can still be built; older ones are answered from the state. The bytes are
  // those of the results: full batches would otherwise keep 256 x 2048 of them.
  static constexpr std::size_t kKeptBatches = 256;
  static constexpr std::size_t kKeptBytes = 16 * 1024 * 1024;

  struct Entry {
    execution::Executed executed;
    // Until certified: it holds on to replaced nodes. `executed.touched` goes with it.
    std::optional<tree::Version> version;
    std::size_t bytes = 0;
  };

  // Whether somebody waits at this replica for one of these results.
  using Audience = std::function<bool(const std::vector<execution::ItemResult>&)>;

  explicit Machine(execution::Engine engine) : engine_(std::move(engine)) {}
  void set_audience(Audience audience) { audience_ = std::move(audience); }

  Seq executed_seq() const override { return engine_.executed_seq(); }
  Hash history_hash() const override { return engine_.checkpoint().history_hash; }
  Result<consensus::Outcome> execute(const messages::ParsedBatch& batch) override;
  messages::Admission admit(const messages::ParsedItem& item) const override {
    return engine_.admit(item);
  }
  std::uint64_t last_bundle(const Id16& session_id) const override;
  std::optional<config::Config> next_config() const override { return engine_.config(); }
  std::optional<Hash> unconfirmed(const PublicKey& vote_key) const override {
    return complete_ ? engine_.unconfirmed(vote_key) : std::nullopt;
  }
  // Whether everything is here that a member of the next configuration has to have. Until then this
  // replica says nothing of being ready.
  void set_complete(bool complete) { complete_ = complete; }

  execution::Engine& engine() { return engine_; }
  const execution::Engine& engine() const { return engine_; }
  const Entry* entry(Seq seq) const;
  // What was executed here at its number, as far as that is still known, is another state.
  bool contradicts(const messages::RootCert& cert) const;
  // What a state transfer hands over, of a batch that is still known or the newest one. nullopt: it
  // is neither, or another state was certified.
  std::optional<messages::CertifiedState> certified_state(const messages::RootCert& cert) const;
  // Goes on from another state; what was executed before is forgotten.
  void replace(execution::Engine engine);
  // Answers and versions of what was executed.
  void forget();
  // The version after `seq` if it is still there; it and older ones are given up. A certificate at
  // `seq` is known: nobody will read at an older one any more.
  std::optional<tree::Version> take_version(Seq seq);
  // Keys of the extents that batches up to the last take_version() have changed, and those that are
  // not known any more, since the last call. At most kMaxExtents are kept; then `lost`, and nobody
  // knows which.
  struct ChangedExtents {
    std::vector<Key> keys;
    bool lost = false;
  };
  static constexpr std::size_t kMaxExtents = 65'536;
  ChangedExtents take_changed_extents() { return std::exchange(extents_, {}); }
  // True once after a batch that may have changed who is registered.
  bool take_principals_changed();

 private:
  void forget_old();
  void note_extents(const std::vector<Key>& touched);

  execution::Engine engine_;
  Audience audience_;
  std::map<Seq, Entry> entries_;
  std::size_t bytes_ = 0;  // of all entries
  bool principals_changed_ = true;
  bool complete_ = false;
  ChangedExtents extents_;
};

}  // namespace bftmeta::replica
