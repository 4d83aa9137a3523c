// What a replica keeps for others, by kind, and how much of it there may be: memory is bounded
// whatever peers send (protocol §8.4, "held state").
#include "consensus/core.hpp"

namespace bftmeta::consensus {

std::vector<Core::Holding> Core::holdings() const {
  const std::size_t n = config_.n();
  // What is certified and was not executed here yet is kept until it is.
  const std::size_t missed =
      certified_seq() > executed_seq() ? certified_seq() - executed_seq() : 0;
  const std::size_t behind =
      transferring_ ? std::min<std::size_t>(missed, kKeptInTransfer) : missed;
  const std::size_t unflushed = executed_seq() > flushed_ ? executed_seq() - flushed_ : 0;
  constexpr std::size_t kStored = 2 * limits::kWindow;  // accepts_votes()
  constexpr std::size_t kHistory = 128 + 1;             // prune()
  std::size_t shares = 0;
  for (const auto& [seq, of] : shares_) shares += of.size();
  std::size_t deferred = 0;
  for (const auto& [from, messages] : deferred_) deferred += messages.size();
  return {
      {"slots", slots_.size(), kStored + behind},
      {"bytes of batches that wait", waiting_bytes(), limits::kMaxWaitingBytes},
      {"early proposals", early_.size(), n * EarlyProposals::kMaxPerSender},
      {"root shares", shares, n * (kStored + behind)},
      {"own bodies", own_bodies_.size(), kStored + behind},
      {"prepared certificates", prepared_.size(), kStored + missed + unflushed},
      {"batches of history", history_.size(), kHistory},
      {"certificates", recent_certs_.size(), kHistory + kStored + behind},
      {"pending items", pending_.size(), Pending::kMaxItems + n * Pending::kMaxForwardItems},
      {"VIEW-CHANGEs", view_change_of_.size(), n},
      {"VIEW-CHANGEs of a candidate", fetched_view_changes_.size(), n},
      {"statements for HELLO", signed_by_peers_.size(), n * SignedByPeers::kKinds},
      {"answers about P-entries", rescue_answers_.size(), n},
      {"batches that these name", rescue_bodies_.size(), n},
      // Links are the driver's affair: it drops those of clients that are gone.
      {"FRESH queries of a client link", held_queries_.longest(), limits::kMaxFreshPerLink},
      {"deferred messages", deferred, n * limits::kDeferredMessages},
      {"evidence", evidence_.size(), n * messages::kOffences},
  };
}

}  // namespace bftmeta::consensus
