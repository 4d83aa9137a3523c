// What a NEW-VIEW must be, and what becomes of one that is not (protocol §5.3, §5.8): cores driven
// by hand, with the test in the place of whoever misbehaves.
#include "hand.hpp"

using namespace bftmeta;
using namespace bftmeta::consensus;
using namespace bftmeta::consensus::testing;
using messages::Reason;

namespace {

// VIEW-CHANGEs to `view` of the first Q replicas that are not `without`.
std::vector<ViewChange> votes_for(const Hand& h, View view, ReplicaId without) {
  std::vector<ViewChange> votes;
  for (ReplicaId r = 0; votes.size() < h.config.quorum(); ++r)
    if (r != without) votes.push_back(h.view_change(r, view));
  return votes;
}

}  // namespace

TEST_CASE("T5.1 bases that differ by more than a window: the highest counts, it proves itself") {
  Hand h(4, {2});
  const messages::RootCert base = h.certificate(3 * limits::kWindow);
  const std::vector<ViewChange> votes = {h.view_change(0, 1, base), h.view_change(1, 1),
                                         h.view_change(3, 1)};
  for (const ViewChange& vc : votes) h.send(vc.replica, 2, vc);
  h.send(1, 2, h.new_view(1, votes));
  CHECK(h.core(2).active());
  CHECK(h.core(2).view() == 1);
  CHECK(h.core(2).certified_seq() == base.body.seq);
}

TEST_CASE("T5.3 O covers exactly what lies above the base, up to the highest entry") {
  const Hand h(4, {0});
  for (Seq base = 0; base <= 2; ++base)
    for (std::uint32_t seqs = 0; seqs < 32; ++seqs) {  // bit i: an entry at base + 1 + i
      std::vector<messages::PreparedCert> entries;
      Seq highest = base;
      for (Seq i = 0; i < 5; ++i)
        if ((seqs >> i & 1) != 0) {
          highest = base + 1 + i;
          entries.push_back(h.prepared({0, highest, Hash{static_cast<std::uint8_t>(i + 1)}}));
        }
      const auto cert = base == 0 ? std::nullopt : std::optional(h.certificate(base));
      // A vote with an older base and entries at and below the highest base must not matter.
      const std::vector<ViewChange> votes = {
          h.view_change(0, 1, cert, entries), h.view_change(1, 1),
          h.view_change(2, 1, std::nullopt, {h.prepared({0, std::max<Seq>(base, 1), Hash{99}})})};
      const auto plan = plan_reproposals(
          h.context(), base == 0 ? std::vector<const ViewChange*>{&votes[0], &votes[1]}
                                 : std::vector<const ViewChange*>{&votes[0], &votes[1], &votes[2]});
      REQUIRE(plan.has_value());
      CHECK(plan->base_seq == base);
      REQUIRE(plan->digests.size() == highest - base);
      for (Seq s = base + 1; s <= highest; ++s) {
        REQUIRE(plan->digests.contains(s));
        const bool entry = (seqs >> (s - base - 1) & 1) != 0;
        CHECK(plan->digests.at(s) == (entry ? Hash{static_cast<std::uint8_t>(s - base)}
                                            : messages::batch_digest(h.context(), Batch::null(s))));
      }
    }
}

TEST_CASE("T5.6 a NEW-VIEW that names what nobody has costs T_newview and no more") {
  Hand h(4, all_but(4, {1}));
  for (const ReplicaId r : h.live()) h.send(1, r, h.view_change(1, 1));
  h.pass = [&](Mail& m) { return !from_silent_primary(m); };
  for (const ReplicaId r : h.live()) h.submit(r, h.open());
  REQUIRE(h.run_until(
      [&] { return h.core(0).view() == 1 && h.core(2).view() == 1 && h.core(3).view() == 1; },
      10 * kSecond));
  NewView nv;
  nv.view = 1;
  for (ReplicaId r : {0U, 1U, 2U}) nv.votes.push_back({r, Hash{static_cast<std::uint8_t>(r + 1)}});
  h.sign(nv);
  for (const ReplicaId r : h.live()) h.send(1, r, nv);
  CHECK(h.run_until([&] { return h.common_view() == View{2}; }, 5 * kSecond));
  CHECK(h.run_until([&] { return h.executed_by_all(1); }, kSecond));
}

TEST_CASE("T5.7 proposals that overtake their NEW-VIEW are voted on once it is entered") {
  for (const std::uint32_t n : {4U, 7U}) {
    CAPTURE(n);
    Hand h(n, {2});
    const std::vector<ViewChange> votes = votes_for(h, 1, 2);
    std::vector<PrePrepare> early;
    for (Seq s = 1; s <= EarlyProposals::kMaxPerSender + 4; ++s)
      early.push_back(h.propose(1, h.batch(s)));
    h.send(1, 2, early[0]);  // while view 0 is active
    for (const ViewChange& vc : votes) h.send(vc.replica, 2, vc);
    for (std::size_t i = 1; i < early.size(); ++i) h.send(1, 2, early[i]);  // while none is
    h.send(3, 2, h.propose(3, h.batch(1)));  // another view's take nobody's room
    h.deliver();
    h.outside.clear();
    h.send(1, 2, h.new_view(1, votes));
    h.deliver();
    std::set<Seq> voted;
    for (const messages::Prepare& p : h.take_outside<messages::Prepare>()) {
      CHECK(p.proposal.view == 1);
      CHECK(p.proposal == early[p.proposal.seq - 1].proposal);
      voted.insert(p.proposal.seq);
    }
    CHECK(voted.size() == EarlyProposals::kMaxPerSender);  // bounded; STATUS brings the others
  }
}

TEST_CASE(
    "T5.7 only the primary of a view can have its proposals kept, and only its newest view's") {
  EarlyProposals early;
  const Hand h(4, {0});
  early.keep(1, h.propose(1, h.batch(1)));
  early.keep(1, h.propose(5, h.batch(1)));
  early.keep(1, h.propose(1, h.batch(2)));
  CHECK(early.take(1, 1).empty());
  CHECK(early.take(1, 5).size() == 1);
  CHECK(early.take(1, 5).empty());
  Hand core(4, {2});
  core.send(3, 2, core.propose(1, core.batch(1)));
  const auto votes = votes_for(core, 1, 2);
  for (const ViewChange& vc : votes) core.send(vc.replica, 2, vc);
  core.deliver();
  core.outside.clear();
  core.send(1, 2, core.new_view(1, votes));
  core.deliver();
  CHECK(core.take_outside<messages::Prepare>().empty());
}

TEST_CASE("T5.5 strategy 34: a new primary that gives each half another NEW-VIEW splits nobody") {
  Hand h(4, all_but(4, {1}));
  // Seq 1 is prepared at replica 3 alone: no COMMIT gets through, and PREPAREs only to it.
  bool first = true;
  h.pass = [&](Mail& m) {
    if (!first) return true;
    if (m.get<PeerStatus>() != nullptr) return m.to == 1;
    return m.get<messages::Commit>() == nullptr &&
           (m.get<messages::Prepare>() == nullptr || m.to == 3);
  };
  const messages::Item item = h.open();
  h.submit(0, item);
  h.deliver();
  const PrePrepare d = [&] {
    const auto proposals = h.take_outside<PrePrepare>();
    REQUIRE(proposals.size() == 1);
    return proposals[0];
  }();
  h.send(1, 3, h.prepare(1, d.proposal));
  h.deliver();
  h.outside.clear();
  // The Byzantine one abets everybody's departure, and builds two sets of votes.
  for (const ReplicaId r : h.live()) {
    PeerStatus suspects;
    suspects.suspects = Reason::request_timeout;
    h.send(1, r, suspects);
  }
  REQUIRE(h.run_until(
      [&] { return h.core(0).view() == 1 && h.core(2).view() == 1 && h.core(3).view() == 1; },
      20 * kSecond));
  std::map<ReplicaId, ViewChange> got;
  for (const ViewChange& vc : h.take_outside<ViewChange>())
    if (vc.new_view == 1) got[vc.replica] = vc;
  REQUIRE(got.size() == 3);
  REQUIRE(got[3].prepared.size() == 1);
  REQUIRE(got[0].prepared.empty());
  REQUIRE(got[2].prepared.empty());
  const ViewChange own = h.view_change(1, 1);
  const std::vector<ViewChange> without = {got[0], own, got[2]};
  const std::vector<ViewChange> with = {own, got[2], got[3]};
  const NewView empty = h.new_view(1, without);
  const NewView full = h.new_view(1, with);
  REQUIRE(empty.proposals.empty());
  REQUIRE(full.proposals.size() == 1);
  for (const ViewChange& vc : without) h.send(1, 0, vc);
  h.send(1, 0, empty);
  for (const ReplicaId r : {2U, 3U}) {
    for (const ViewChange& vc : with) h.send(1, r, vc);
    h.send(1, r, full);
  }
  // Another batch for seq 1 where O has none, and its COMMIT for both.
  const PrePrepare other = h.propose(1, h.batch(1, {}, 5));
  h.send(1, 0, other);
  first = false;
  for (const ReplicaId r : h.live())
    h.send(1, r, messages::Commit{r == 0 ? other.proposal : Proposal{1, 1, d.proposal.digest}});
  h.run(60 * kSecond);
  CHECK(h.halted.empty());
  CHECK(h.executed_by_all(1));
  for (const ReplicaId r : h.live())
    CHECK(h.machine(r).history_hash() == h.machine(0).history_hash());
}

TEST_CASE("strategy 35: an invalid NEW-VIEW is suspected at once, without waiting for T_newview") {
  enum class Defect { omits_entry, nulls_entry, extra_entry, other_base, unsigned_entry, bad_vote };
  for (const Defect defect : {Defect::omits_entry, Defect::nulls_entry, Defect::extra_entry,
                              Defect::other_base, Defect::unsigned_entry, Defect::bad_vote}) {
    CAPTURE(static_cast<int>(defect));
    Hand h(4, {2, 3});
    // Prepared at 2 and 3, not committed; both are on their way to view 1.
    const PrePrepare first = h.propose(0, h.batch(1));
    for (const ReplicaId r : h.live()) h.send(0, r, first);
    h.deliver();
    for (const ReplicaId r : h.live())
      for (const ReplicaId other : {0U, 1U}) h.send(other, r, h.view_change(other, 1));
    h.deliver();
    std::map<ReplicaId, ViewChange> got;
    for (const ViewChange& vc : h.take_outside<ViewChange>()) got[vc.replica] = vc;
    REQUIRE(got[2].prepared.size() == 1);
    REQUIRE(got[3].prepared.size() == 1);

    std::vector<ViewChange> votes = {h.view_change(0, 1), got[2], got[3]};
    if (defect == Defect::bad_vote) {
      messages::PreparedCert broken = got[2].prepared[0];
      broken.signatures[0][0] ^= 1;
      votes[0] = h.view_change(0, 1, std::nullopt, {broken});
    }
    NewView nv = h.new_view(1, votes);
    const auto entry = [&](Seq seq, const Hash& digest) {
      const Proposal p{1, seq, digest};
      return messages::Reproposal{seq, digest,
                                  messages::sign_pre_prepare(h.signer(1), h.context(), p)};
    };
    if (defect == Defect::omits_entry) nv.proposals.clear();
    if (defect == Defect::nulls_entry)
      nv.proposals = {entry(1, messages::batch_digest(h.context(), Batch::null(1)))};
    if (defect == Defect::extra_entry) nv.proposals.push_back(entry(2, Hash{8}));
    if (defect == Defect::other_base) {
      nv.base_seq = 1;
      nv.proposals.clear();
    }
    if (defect == Defect::unsigned_entry) nv.proposals[0].signature[0] ^= 1;
    h.sign(nv);
    const std::uint64_t begin = h.now_us;
    for (const ReplicaId r : h.live()) {
      h.send(1, r, nv);
      for (const ViewChange& vc : votes) h.send(1, r, vc);
    }
    CHECK(h.run_until([&] { return h.core(2).view() >= 2 && h.core(3).view() >= 2; }, 500 * kMs));
    CHECK(h.now_us - begin < kSecond);
  }
}
