// Messages in the Byzantine replica's own name: correctly signed, whatever they say.
// Thread-safety: pure functions.
#pragma once

#include "adversary/strategy.hpp"

namespace bftmeta::adversary::forge {

// A PRE-PREPARE for `batch` whose digest and signature hold.
messages::PrePrepare proposal(const Identity& id, View view, messages::Batch batch);
messages::Commit commit(const messages::PrePrepare& p);
// Another body that no honest replica ever proposed, with `batch`'s sequence number.
messages::Batch another(messages::Batch batch, sim::Random& random);
messages::ViewChange view_change(const Identity& id, View view,
                                 std::optional<messages::RootCert> base,
                                 std::vector<messages::PreparedCert> prepared,
                                 messages::Reason reason);
// A truthful VIEW-CHANGE, from what the plot has seen.
messages::ViewChange view_change(const Identity& id, View view);
// The NEW-VIEW that follows from these votes, of which Q are taken; nullopt: too few.
std::optional<messages::NewView> new_view(const Identity& id, View view,
                                          std::vector<messages::ViewChange> votes);
// Signs again whatever in the message bears this replica's own signature.
void sign_again(const Identity& id, PeerMessage& message);
// A bundle of the client in the plot, one no-op.
messages::Item bundle(const Identity& id, const Id16& session, std::uint64_t number,
                      std::uint64_t valid_until_us);
Hash random_hash(sim::Random& random);

}  // namespace bftmeta::adversary::forge
