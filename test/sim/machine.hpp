// The state machine of a simulated replica: the production engine (engine_machine.hpp) or, for
// tests of agreement alone, a toy that hashes (toy_machine.hpp).
#pragma once

#include <memory>
#include <vector>

#include "consensus/state_machine.hpp"
#include "messages/client.hpp"
#include "messages/transfer.hpp"
#include "tree/page_store.hpp"
#include "tree/version.hpp"

namespace bftmeta::sim {

// What became of one item of a batch.
struct Outcome {
  Hash request_digest{};
  Id16 session_id{};  // of a SESSION-OPEN: the new session
  std::uint64_t bundle_no = 0;
  Hash results_digest{};
  bool final = true;       // done or expired; others are no outcome (protocol §8.2)
  bool first_time = true;  // decided by this batch; false: a stored answer, or none
};

class Machine;

// A machine whose state can be handed over (src/transfer).
class Transferable {
 public:
  virtual ~Transferable() = default;
  // Of a kept state; nullopt: none.
  virtual std::optional<messages::CertifiedState> certified_state(
      const messages::RootCert& cert) const = 0;
  // The store, whatever its newest generation holds.
  virtual std::shared_ptr<tree::PageStore> store() const = 0;
  // A machine at genesis on the same store, of which it takes nothing.
  virtual std::unique_ptr<Machine> at_genesis() const = 0;
  // Goes on from this state, which its store holds, and forgets what it had executed.
  virtual void adopt(const messages::CertifiedState& state, const tree::Version& version) = 0;
  // What the newest state asks of a replica that is no member, or not yet (execution/epochs.hpp).
  struct Asked {
    std::optional<messages::Ready> ready;
    std::optional<messages::ReplicaId> end_share;
  };
  virtual Asked asked_of(const PublicKey& vote_key) const = 0;
  // What the commit of such a state carries.
  virtual Bytes checkpoint_of(const messages::CertifiedState& state) const = 0;
};

class Machine : public consensus::StateMachine {
 public:
  // Batches whose answers and states are kept, as in bftmetad.
  static constexpr std::size_t kKeptBatches = 256;

  // Of a kept batch; empty otherwise. Parallel to the batch's items.
  virtual std::vector<Outcome> outcomes(messages::Seq seq) const = 0;
  // The REPLY to item `index` of batch `seq` under a certificate of `seq` or later; nullopt: a
  // batch on the way is not kept any more.
  virtual std::optional<messages::Reply> reply(messages::Seq seq, std::size_t index,
                                               const messages::RootCert& cert) const = 0;
  // The state after `seq`; nullptr: not kept, or not a tree.
  virtual const tree::Version* version(messages::Seq seq) const = 0;

  // Flushes the present state into a store that survives a crash; batches may be executed between
  // the two calls. The result of the second stands for what the store holds.
  virtual void begin_flush() = 0;
  virtual std::unique_ptr<Machine> finish_flush() = 0;
  // A machine that starts from that.
  virtual std::unique_ptr<Machine> reopen() const = 0;

  // nullptr: its state is no tree, and can not be handed over.
  virtual Transferable* transferable() { return nullptr; }
};

}  // namespace bftmeta::sim
