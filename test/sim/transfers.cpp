#include "sim/transfers.hpp"

namespace bftmeta::sim {

using messages::ReplicaId;
using messages::Seq;

namespace {

std::string name(ReplicaId replica) { return "replica " + std::to_string(replica); }

// All leaves, as they are read; nullopt: they can not be.
std::optional<std::vector<std::pair<Key, Bytes>>> leaves_of(const tree::Version& version) {
  std::vector<std::pair<Key, Bytes>> leaves;
  const Status read = version.read_range(Key(), std::nullopt, [&](const Key& key, ByteView value) {
    leaves.emplace_back(key, to_bytes(value));
    return true;
  });
  if (!read) return std::nullopt;
  return leaves;
}

}  // namespace

void Transfers::sent(ReplicaId from, ReplicaId to, const messages::PeerMessage& message) {
  const auto* history = std::get_if<messages::HistoryData>(&message);
  if (history != nullptr && history->headers.empty() &&
      known_.standing.at(from) != Standing::byzantine)
    gone_[to].insert(history->first);
}

void Transfers::began(ReplicaId replica, Seq executed, Seq floor, bool resumed) {
  floors_[replica] = floor;
  if (known_.standing.at(replica) == Standing::byzantine || resumed) return;
  if (!gone_[replica].contains(executed + 1))
    violation_("S13", name(replica) + " fetches a state although no correct replica has lost " +
                          "history from " + std::to_string(executed + 1) + " on");
}

void Transfers::ended(ReplicaId replica, const messages::CertifiedState& state,
                      const tree::Version& fetched, const tree::Version* truth) {
  if (known_.standing.at(replica) == Standing::byzantine) return;
  ++ended_;
  const Seq seq = state.cert.body.seq;
  const std::string what = name(replica) + " has fetched the state of " + std::to_string(seq);
  if (seq < floors_[replica])
    violation_("S13", what + ", below " + std::to_string(floors_[replica]) +
                          ", which it knew to be certified");
  const auto agreed = known_.agreed->find(seq);
  if (agreed == known_.agreed->end() || truth == nullptr)
    return violation_("S2", what + ", which nobody has executed");
  if (agreed->second.body != state.cert.body ||
      agreed->second.batch_digest != state.header.batch_digest)
    violation_("S2", what + ", which is not what was agreed on");
  const auto mine = leaves_of(fetched);
  if (!mine || mine != leaves_of(*truth))
    violation_("S2", what + ", and its leaves are not those of that state");
}

}  // namespace bftmeta::sim
