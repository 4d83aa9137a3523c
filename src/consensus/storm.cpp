// Storm control (protocol §5.7, §8.4): what a peer may cost, and the order in which peers are
// looked at.
#include "consensus/core.hpp"

namespace bftmeta::consensus {

namespace {

// Whether looking at it costs a signature check. A ROOT-SHARE does so later, and is paid for then.
bool costs_a_check(const PeerMessage& m) {
  return std::holds_alternative<messages::PrePrepare>(m) ||
         std::holds_alternative<messages::Prepare>(m) ||
         std::holds_alternative<messages::RootCert>(m) ||
         std::holds_alternative<messages::ViewChange>(m) ||
         std::holds_alternative<messages::NewView>(m) ||
         std::holds_alternative<messages::HistoryData>(m) ||
         std::holds_alternative<messages::PreparedData>(m) ||
         std::holds_alternative<messages::Evidence>(m) ||
         std::holds_alternative<messages::Forward>(m);
}

}  // namespace

// A link that brought a bad signature comes last: what it brings waits for the next tick. Its own
// newest gives way, never another's.
void Core::dispatch(event::Peer event) {
  if (budget_.distrusted(event.from) && costs_a_check(event.message)) {
    auto& waiting = deferred_[event.from];
    if (waiting.size() < limits::kDeferredMessages) waiting.push_back(std::move(event.message));
    return;
  }
  deliver(event.from, event.message);
}

// Subtrees of the state are the driver's affair (src/transfer), and so are later epochs and how far
// who joins is; here they are nothing.
void Core::deliver(ReplicaId from, PeerMessage& message) {
  std::visit(
      [&](auto& m) {
        using Message = std::remove_cvref_t<decltype(m)>;
        if constexpr (!std::is_same_v<Message, messages::FetchNodes> &&
                      !std::is_same_v<Message, messages::NodesData> &&
                      !std::is_same_v<Message, messages::Epochs> &&
                      !std::is_same_v<Message, messages::Learning>)
          on(from, std::move(m));
      },
      message);
}

void Core::look_at_deferred() {
  for (auto& [from, waiting] : deferred_)
    while (!halted_ && !waiting.empty() && budget_.may_check_deferred(from, now_.mono_us)) {
      PeerMessage message = std::move(waiting.front());
      waiting.pop_front();
      deliver(from, message);
    }
  std::erase_if(deferred_, [](const auto& e) { return e.second.empty(); });
}

bool Core::may_check(ReplicaId from, std::uint64_t signatures) {
  return budget_.may_check_proof(from, signatures, now_.mono_us);
}

// Correct replicas relay only what they have verified, so a bad signature is its bringer's fault.
bool Core::checked(ReplicaId from, bool holds) {
  if (!holds) budget_.distrust(from);
  return holds;
}

// A peer that has asked for more than its share gets nothing now, and asks again.
void Core::answer(ReplicaId to, PeerMessage message, Lsn needs_lsn) {
  if (budget_.pay_answer(to, encoded_size(message), now_.mono_us))
    send(to, std::move(message), needs_lsn);
}

// The same for what was sent before, and is lacking by the peer's STATUS. A budget of its own:
// votes do not wait for fetched history.
void Core::repeat(ReplicaId to, PeerMessage message, Lsn needs_lsn) {
  if (budget_.pay_repeat(to, encoded_size(message), now_.mono_us))
    send(to, std::move(message), needs_lsn);
}

}  // namespace bftmeta::consensus
