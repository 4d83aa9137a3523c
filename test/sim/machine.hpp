// The state machine of a simulated replica: the production engine (engine_machine.hpp) or, for
// tests of agreement alone, a toy that hashes (toy_machine.hpp).
#pragma once

#include <memory>
#include <vector>

#include "consensus/state_machine.hpp"

namespace bftmeta::sim {

// What a client learns of one item once its batch is certified.
struct Outcome {
  Hash request_digest{};
  Id16 session_id{};  // of a SESSION-OPEN: the new session
  std::uint64_t bundle_no = 0;
  Hash results_digest{};
  bool final = true;  // done or expired; others are no outcome (protocol §8.2)
};

class Machine : public consensus::StateMachine {
 public:
  virtual std::vector<Outcome> outcomes(messages::Seq seq) const = 0;
  // Flushes the state into a store that survives a crash of the replica; the result stands for what
  // the store holds.
  virtual std::unique_ptr<Machine> flush() = 0;
  // A machine that starts from that.
  virtual std::unique_ptr<Machine> reopen() const = 0;
};

}  // namespace bftmeta::sim
