// The state machine of a simulated replica: the production engine (engine_machine.hpp) or, for
// tests of agreement alone, a toy that hashes (toy_machine.hpp).
#pragma once

#include <memory>
#include <vector>

#include "consensus/state_machine.hpp"
#include "messages/client.hpp"
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
};

}  // namespace bftmeta::sim
