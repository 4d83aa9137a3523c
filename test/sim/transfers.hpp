// Oracles about state transfer (protocol §4.4, §7.7; S2 and S13 of §11.3): nobody gives up history
// on the word of Byzantine replicas alone, and what is fetched is, leaf by leaf, a certified state
// at or above the floor. Thread-safety: one thread.
#pragma once

#include "sim/statements.hpp"
#include "tree/version.hpp"

namespace bftmeta::sim {

class Transfers {
 public:
  using Violation = std::function<void(const char* oracle, const std::string& what)>;

  Transfers(const Known& known, Violation violation)
      : known_(known), violation_(std::move(violation)) {}

  void sent(messages::ReplicaId from, messages::ReplicaId to, const messages::PeerMessage& message);
  // `resumed`: its store holds a transfer that was under way when it went down.
  void began(messages::ReplicaId replica, messages::Seq executed, messages::Seq floor,
             bool resumed);
  // `truth`: the tree that the first executor had then; nullptr: nobody of whom anything is
  // expected executed that number.
  void ended(messages::ReplicaId replica, const messages::CertifiedState& state,
             const tree::Version& fetched, const tree::Version* truth);

  std::uint64_t ended() const { return ended_; }

 private:
  const Known& known_;
  const Violation violation_;
  // Sequence numbers of which somebody not Byzantine has said to a replica that they are gone.
  std::map<messages::ReplicaId, std::set<messages::Seq>> gone_;
  std::map<messages::ReplicaId, messages::Seq> floors_;
  std::uint64_t ended_ = 0;
};

}  // namespace bftmeta::sim
