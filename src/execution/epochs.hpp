// The life of a configuration in the replicated state (protocol §9.2): a change that is pending
// (proposed by schema::ChangeConfig), the members of the next configuration that said READY, the
// epoch end that is scheduled when enough did, and the last batch of the epoch, which puts the next
// one in force. Works on the overlay of one batch. Thread-safety: one thread.
#pragma once

#include "config/change.hpp"
#include "execution/sessions.hpp"
#include "execution/state.hpp"
#include "messages/certificate.hpp"

namespace bftmeta::execution {

// Whether READY is heard from whom it has to be: everybody who joins, and a quorum of the next
// configuration.
bool enough_ready(const config::Config& from, const schema::PendingChange& change);

class Epochs {
 public:
  // `in_force` outlives this.
  Epochs(State& state, const config::Config& in_force, const BatchClock& clock)
      : state_(state), in_force_(in_force), clock_(clock) {}

  // CONFIG-READY: Code::ok; exists (said before); no_entry (no such change, no such member, or
  // scheduled already). `first_time` is false unless it counts now.
  schema::BundleResult ready(const messages::Ready& ready, bool& first_time);

  struct End {
    messages::Seq seq = 0;               // 0: nothing is scheduled
    std::optional<config::Config> next;  // with the last batch of the epoch
  };
  // Behind the items of the batch, once: schedules, drops what is too late, ends the epoch.
  End close_batch();

 private:
  std::optional<schema::PendingChange> pending();
  void end_epoch(const config::Config& next);

  State& state_;
  const config::Config& in_force_;
  const BatchClock clock_;
};

// What the state asks of a replica that is a member of the next configuration and of none now.
struct Joining {
  std::optional<messages::Ready> ready;          // to be said
  std::optional<messages::ReplicaId> end_share;  // position there: the last batch is to be signed
  messages::Seq epoch_end = 0;                   // 0: not scheduled
  bool expected = false;                         // a change under way names it
};
Result<Joining> joining(const tree::Reader& state, const messages::CertBody& body,
                        const PublicKey& vote_key);

// The configuration under which the batch after `body` is executed, from the tree of that state:
// the next one after an epoch end. Errc::corrupt if the tree does not hold the one that the body
// names.
Result<config::Config> config_after(const tree::Reader& state, const messages::CertBody& body);

}  // namespace bftmeta::execution
