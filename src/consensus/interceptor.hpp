// The one seam for misbehaviour: what a replica sends, receives and waits for passes through here.
// A release build links no implementation; the simulator and bftmetad-evil plug the same strategies
// in (test/adversary). Time comes in with the calls.
// Thread-safety: called by the driver's thread only.
#pragma once

#include "consensus/core.hpp"

namespace bftmeta::consensus {

class Interceptor {
 public:
  struct Unasked {
    messages::ReplicaId to = 0;
    messages::PeerMessage message;
  };
  static constexpr std::uint64_t kNever = ~std::uint64_t{0};

  virtual ~Interceptor() = default;

  // Called for each receiver. What is in `messages` afterwards is sent instead; on entry it holds
  // the one message of the correct core.
  virtual void outgoing(messages::ReplicaId to, std::vector<messages::PeerMessage>& messages,
                        Now now) = 0;
  // False: the message never arrived.
  virtual bool incoming(messages::ReplicaId from, const messages::PeerMessage& message,
                        Now now) = 0;
  // An item from a client's link. False: it never arrived.
  virtual bool submitted(const messages::Item& item) = 0;
  // An answer to a client; it may be changed. False: it is not sent.
  virtual bool answer(messages::ReplicaMessage& message) = 0;
  // False: the core does not see this Tick.
  virtual bool tick(Now now) = 0;

  // What is sent besides, or was held back until now. Asked after each event and at deadline().
  virtual std::vector<Unasked> unasked(Now now) = 0;
  virtual std::uint64_t deadline() const = 0;  // monotonic; kNever: events are enough
};

}  // namespace bftmeta::consensus
