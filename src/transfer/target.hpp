// Which certified state a transfer goes for. Peers offer what they serve; only what is certified
// and above the floor counts. Whose state could not be had in time is preferred less the next time:
// a liar that names states which nobody else serves, or old ones, gets its turn, and no more.
// Thread-safety: one thread.
#pragma once

#include <map>

#include "messages/transfer.hpp"

namespace bftmeta::transfer {

using messages::CertifiedState;
using messages::ReplicaId;

class Target {
 public:
  // `floor`: states below it are of no use.
  explicit Target(messages::Seq floor) : floor_(floor) {}

  // Precondition: verified. The last one of each peer since the last choice counts.
  void offer(ReplicaId from, CertifiedState state);
  void withdraw(ReplicaId from) { offers_.erase(from); }
  std::size_t offers() const { return offers_.size(); }

  // It takes longer than it should.
  void late() { ++failures_[from_]; }
  // Nobody serves what is missing of it.
  void give_up();
  // Takes the newest of the offers by those that failed least. True: the walk begins anew, because
  // it is another state, or because the last one was given up. Precondition: offers() > 0.
  bool choose();

  const std::optional<CertifiedState>& state() const { return state_; }
  ReplicaId from() const { return from_; }  // whose offer it was
  bool spent() const { return spent_; }

 private:
  const messages::Seq floor_;
  std::map<ReplicaId, CertifiedState> offers_;
  std::map<ReplicaId, std::uint32_t> failures_;
  std::optional<CertifiedState> state_;
  ReplicaId from_ = 0;
  bool spent_ = true;
};

}  // namespace bftmeta::transfer
