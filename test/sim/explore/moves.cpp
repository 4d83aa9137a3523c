#include "sim/explore/moves.hpp"

#include "base/assert.hpp"

namespace bftmeta::sim::explore {

using messages::Proposal;

std::uint32_t Moves::number_of(const Key& key) {
  BFTMETA_ASSERT(key.a < kMaxNumber && key.b < kMaxNumber && key.c < kMaxNumber);
  const std::uint64_t packed = std::uint64_t{static_cast<std::uint8_t>(key.kind)} << 60 |
                               std::uint64_t{key.a} << 40 | std::uint64_t{key.b} << 20 | key.c;
  const auto next = static_cast<std::uint32_t>(keys_.size());
  const auto [it, fresh] = numbers_.try_emplace(packed, next);
  if (!fresh) return it->second;
  BFTMETA_ASSERT(next < kMaxNumber);
  keys_.push_back(key);
  return next;
}

namespace {

std::vector<ReplicaId> members(std::uint32_t mask) {
  std::vector<ReplicaId> list;
  for (ReplicaId r = 0; r < kReplicas; ++r)
    if ((mask >> r & 1) != 0) list.push_back(r);
  return list;
}

}  // namespace

std::vector<std::pair<ReplicaId, PeerMessage>> Moves::deliveries(ReplicaId to, const Local& local,
                                                                 const Key& key) const {
  std::vector<std::pair<ReplicaId, PeerMessage>> list;
  const auto [v, n, d] = slot_from(key.a);
  switch (key.kind) {
    case Kind::propose: list.emplace_back(world_.primary(v), world_.pre_prepare(v, n, d)); break;
    case Kind::prepares:
      for (const ReplicaId r : members(key.b)) {
        messages::Prepare m = world_.prepare(r, v, n, d);
        if (key.c != 0 && world_.byzantine(r)) m.signature[0] ^= 1;
        list.emplace_back(r, m);
      }
      break;
    case Kind::commits:
      for (const ReplicaId r : members(key.b))
        list.emplace_back(r, messages::Commit{world_.proposal(v, n, d)});
      break;
    case Kind::shares:
      for (const ReplicaId r : members(key.b)) list.emplace_back(r, world_.share(r, key.a));
      break;
    case Kind::leave:  // any two: each of them may come to suspect the primary at any time
      for (ReplicaId r = 0; r < kReplicas && list.size() < 2; ++r) {
        messages::PeerStatus status;
        status.view = status.entered = key.a;
        status.suspects = messages::Reason::request_timeout;
        if (r != to) list.emplace_back(r, status);
      }
      break;
    case Kind::lead:
      for (const std::uint32_t vc : {key.a, key.b})
        list.emplace_back(world_.get<messages::ViewChange>(vc).replica, world_.message(vc));
      break;
    case Kind::enter: return entry(to, local, world_.get<messages::NewView>(key.a));
    case Kind::history:
      for (const ReplicaId r : members(key.c)) list.emplace_back(r, world_.share(r, key.b));
      list.emplace_back(to == 0 ? 1 : 0, world_.message(key.a));  // anybody may pass it on
      break;
    default: break;
  }
  return list;
}

// VIEW-CHANGEs first: NEW-VIEW of a view that nobody is known to want is not looked at. It names
// the receiver's own VIEW-CHANGE as the receiver gave it. Correct replicas have the batches, and
// give them to whoever asks.
std::vector<std::pair<ReplicaId, PeerMessage>> Moves::entry(ReplicaId to, const Local& local,
                                                            const messages::NewView& nv) const {
  const ReplicaId from = world_.primary(nv.view);
  std::vector<messages::ViewChange> votes;
  for (const messages::NewViewVote& vote : nv.votes) {
    const auto own = local.view_changes.find(nv.view);
    votes.push_back(vote.replica == to && own != local.view_changes.end()
                        ? own->second
                        : world_.get<messages::ViewChange>(world_.view_change(vote.digest)));
  }
  std::map<Seq, Hash> digests;
  for (const messages::Reproposal& p : nv.proposals) digests[p.seq] = p.digest;
  std::vector<std::pair<ReplicaId, PeerMessage>> list;
  for (const messages::ViewChange& vc : votes) list.emplace_back(from, vc);
  list.emplace_back(from, world_.new_view(nv.view, votes, nv.base_seq, digests));
  for (const messages::Reproposal& p : nv.proposals)
    if (const auto d = p.seq <= kMaxSeqs ? world_.find_batch(p.seq, p.digest) : std::nullopt)
      list.emplace_back(from, messages::BatchData{world_.batch(p.seq, *d)});
  return list;
}

// ---- words

namespace {

std::string replicas_text(std::uint32_t mask) {
  std::string text;
  for (const ReplicaId r : members(mask)) text += (text.empty() ? "" : ",") + std::to_string(r);
  return text;
}

}  // namespace

std::string Moves::view_change_text(std::uint32_t message) const {
  const auto& vc = world_.get<messages::ViewChange>(message);
  std::string text = std::to_string(vc.replica) + "(base " + std::to_string(vc.base_seq());
  for (const messages::PreparedCert& p : vc.prepared) {
    const auto d = world_.find_batch(p.proposal.seq, p.proposal.digest);
    const bool proof =
        messages::verify_prepared(world_.verifier(), world_.context(), world_.config(), p);
    text += " n" + std::to_string(p.proposal.seq) + "=" +
            (d ? world_.name(p.proposal.seq, *d) : "?") + "@v" + std::to_string(p.proposal.view) +
            (proof ? "" : "!");
  }
  return text + ")";
}

std::string Moves::new_view_text(std::uint32_t message) const {
  const auto& nv = world_.get<messages::NewView>(message);
  std::string text =
      "NEW-VIEW v" + std::to_string(nv.view) + " base " + std::to_string(nv.base_seq) + " O(";
  for (const messages::Reproposal& p : nv.proposals) {
    const auto d = p.seq <= kMaxSeqs ? world_.find_batch(p.seq, p.digest) : std::nullopt;
    text += " n" + std::to_string(p.seq) + "=" + (d ? world_.name(p.seq, *d) : "?");
  }
  text += " ) of";
  for (const messages::NewViewVote& vote : nv.votes)
    text += " " + view_change_text(world_.view_change(vote.digest));
  return text;
}

std::string Moves::text(const Key& key) const {
  const auto [v, n, d] = slot_from(key.a);
  const auto slot = [&, v = v, n = n, d = d] {
    return " v" + std::to_string(v) + " n" + std::to_string(n) + " " + world_.name(n, d);
  };
  const auto body = [&](std::uint32_t number) {
    const messages::CertBody& b = world_.body(number);
    return " n" + std::to_string(b.seq) + " " + to_hex(b.state_root).substr(0, 6);
  };
  switch (key.kind) {
    case Kind::item: return "item " + std::string(1, static_cast<char>('a' + key.a));
    case Kind::propose: return "PRE-PREPARE" + slot();
    case Kind::prepares:
      return "PREPARE" + slot() + " of " + replicas_text(key.b) + (key.c != 0 ? " broken" : "");
    case Kind::commits: return "COMMIT" + slot() + " of " + replicas_text(key.b);
    case Kind::shares: return "ROOT-SHARE" + body(key.a) + " of " + replicas_text(key.b);
    case Kind::leave: return "leaves v" + std::to_string(key.a);
    case Kind::lead:
      return "VIEW-CHANGE v" + std::to_string(world_.get<messages::ViewChange>(key.a).new_view) +
             " of " + view_change_text(key.a) + " " + view_change_text(key.b);
    case Kind::enter: return new_view_text(key.a);
    case Kind::history: {
      const auto& data = world_.get<messages::HistoryData>(key.a);
      return "HISTORY up to" + body(key.b) + (data.cert ? " certified" : "") +
             " behind shares of " + replicas_text(key.c);
    }
    case Kind::invent: return "HISTORY invented " + world_.name(1, key.a);
    case Kind::restart: break;
  }
  const std::string who = std::to_string(answerer(key.a)) + "," + std::to_string(answerer(key.b));
  const std::string cut = key.c == 0 ? "" : "[" + text(keys_.at(key.c - 1)) + "] cut off, ";
  return cut + "restart, answered by " + who;
}

std::string Moves::text(ReplicaId to, std::uint32_t move) const {
  return "r" + std::to_string(to) + " " + text(keys_.at(move));
}

}  // namespace bftmeta::sim::explore
