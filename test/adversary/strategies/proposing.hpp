// A primary that does not tell every backup what its own core proposes. What it once told somebody
// it repeats, commits to, and has its fellows vote for: a consistent liar goes further than a
// confused one. Thread-safety: as Strategy.
#pragma once

#include "adversary/forge.hpp"
#include "adversary/strategies.hpp"

namespace bftmeta::adversary {

class Proposing : public Strategy {
 public:
  using Strategy::Strategy;

 protected:
  // What `to` gets instead of the own core's proposal; nullopt: nothing.
  virtual std::optional<messages::PrePrepare> propose(ReplicaId to,
                                                      const messages::PrePrepare& honest) = 0;

  void send(ReplicaId to, Messages& messages) override;

 private:
  bool bend(ReplicaId to, PeerMessage& message);
  bool bend_proposal(ReplicaId to, messages::PrePrepare& proposal);
  void follow_plot(ReplicaId to, PeerMessage& message);

  // By number first, so that the oldest goes first.
  std::map<std::tuple<Seq, View, ReplicaId>, std::optional<messages::PrePrepare>> told_;
};

}  // namespace bftmeta::adversary
