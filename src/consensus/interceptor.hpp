// The one seam for misbehaviour: what a replica sends, receives and waits for passes through here.
// A release build links no implementation; the simulator and bftmetad-evil plug the same strategies
// in (test/adversary). Thread-safety: called by the driver's thread only.
#pragma once

#include "messages/frame.hpp"

namespace bftmeta::consensus {

class Interceptor {
 public:
  virtual ~Interceptor() = default;

  // Called for each receiver. What is in `messages` afterwards is sent instead; on entry it holds
  // the one message of the correct core.
  virtual void outgoing(messages::ReplicaId to, std::vector<messages::PeerMessage>& messages) = 0;
  // False: the message never arrived.
  virtual bool incoming(messages::ReplicaId from, const messages::PeerMessage& message) = 0;
  // An answer to a client; it may be changed. False: it is not sent.
  virtual bool answer(messages::ReplicaMessage& message) = 0;
  // False: the core does not see this Tick.
  virtual bool tick() = 0;
};

}  // namespace bftmeta::consensus
