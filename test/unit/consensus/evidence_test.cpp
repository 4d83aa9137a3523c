// Evidence (protocol §9.6) at one core: found, kept once, passed on, offered again to who lacks it,
// recalled after a restart; forged evidence costs its sender the ear and nobody else anything.
#include "lone.hpp"

using namespace bftmeta;
using namespace bftmeta::consensus;
using namespace bftmeta::consensus::testing;
using messages::Accusation;
using messages::CertBody;
using messages::Evidence;
using messages::Offence;
using messages::PeerStatus;
using messages::Prepare;
using messages::SignedProposal;
using messages::ViewChange;

namespace {

constexpr ReplicaId kLiar = 2;  // a backup of view 0

// The accusations that `r` has told its driver about.
std::vector<Accusation> accusations(const Lone& r) {
  std::vector<Accusation> all;
  for (const action::Accused& a : r.accused) all.push_back(a.accusation);
  return all;
}

Evidence two_prepares(const Lone& r, Seq seq = 1) {
  return {r.prepare(kLiar, r.proposal(0, seq, kWall).proposal),
          r.prepare(kLiar, r.proposal(0, seq, kWall + 1).proposal)};
}

messages::RootShare wrong_share(const Lone& r, Seq seq) {
  CertBody body = r.certificate(seq).body;
  body.state_root = Hash{66};
  return r.share(kLiar, body);
}

}  // namespace

TEST_CASE("two signed proposals: evidence for everybody, and the view is left at once") {
  Lone r(1);
  const auto first = r.proposal(0, 1, kWall);
  const auto second = r.proposal(0, 1, kWall + 1);
  r.from(0, first);
  const auto sent = r.from(0, second);
  CHECK(accusations(r) == std::vector{Accusation{0, Offence::two_proposals, 0, 1}});
  REQUIRE(all<Evidence>(sent).size() == 1);
  CHECK(all<ViewChange>(sent).size() == 1);
  CHECK(r.core->view() == 1);

  // Who saw only one of them follows by the proof, whoever brings it.
  Lone other(3);
  other.from(0, first);
  const auto follows = other.from(2, all<Evidence>(sent).front());
  CHECK(all<ViewChange>(follows).size() == 1);
  CHECK(all<Evidence>(follows).size() == 1);  // passed on once
  CHECK(other.core->view() == 1);
  CHECK(all<Evidence>(other.from(1, all<Evidence>(sent).front())).empty());
  CHECK(other.accused.size() == 1);
}

TEST_CASE("who equivocates again as primary of a later view loses that one, too") {
  Lone r(1);
  r.from(0, r.proposal(0, 1, kWall));
  r.from(0, r.proposal(0, 1, kWall + 1));
  REQUIRE(r.core->view() == 1);
  std::vector<ViewChange> votes;
  for (const ReplicaId v : {0U, 2U, 3U}) {
    votes.push_back(r.view_change(v, 4));
    r.from(v, votes.back());
  }
  r.from(0, r.new_view(4, votes, 0));
  REQUIRE(r.core->active());
  REQUIRE(r.core->view() == 4);
  r.from(0, r.proposal(4, 1, kWall));
  const auto sent = r.from(0, r.proposal(4, 1, kWall + 1));
  CHECK(r.core->view() == 5);
  CHECK(all<Evidence>(sent).size() == 1);
  CHECK(r.accused.size() == 2);
  CHECK(r.core->evidence().size() == 1);  // the newest of this offence is enough to keep
}

TEST_CASE("proof that comes before its view, or while it is pending, ends it all the same") {
  const auto proof = [](const Lone& r, View view) {
    const auto one = r.proposal(view, 1, kWall);
    const auto two = r.proposal(view, 1, kWall + 1);
    return Evidence{SignedProposal{one.proposal, one.signature},
                    SignedProposal{two.proposal, two.signature}};
  };
  Lone early(3);
  early.from(0, proof(early, 1));
  CHECK(early.core->view() == 0);  // it says nothing about the primary of view 0
  std::vector<ViewChange> votes;
  for (const ReplicaId v : {0U, 1U, 2U}) {
    votes.push_back(early.view_change(v, 1));
    early.from(v, votes.back());
  }
  CHECK(early.core->view() == 2);

  Lone pending(3);
  for (const ReplicaId v : {0U, 1U}) pending.from(v, pending.view_change(v, 1));
  REQUIRE(pending.core->view() == 1);
  REQUIRE_FALSE(pending.core->active());
  pending.from(0, proof(pending, 1));
  CHECK(pending.core->view() == 2);
}

TEST_CASE("two NEW-VIEWs of the present primary end its view, too; who is still in it is told") {
  Lone r(3);
  std::vector<ViewChange> votes;
  for (const ReplicaId v : {0U, 1U, 2U}) votes.push_back(r.view_change(v, 1));
  for (const ViewChange& vc : votes) r.from(vc.replica, vc);
  r.from(1, r.new_view(1, votes, 0));
  REQUIRE(r.core->active());
  r.from(1, r.new_view(1, votes, 3));
  CHECK(r.core->view() == 2);
  PeerStatus still;
  still.view = 1;
  still.accused = 1U << 1;  // it knows of something, but is still there
  r.now_us += 100'000;
  CHECK(all<Evidence>(r.from(2, still)).size() == 1);
}

TEST_CASE("halves that were sent different proposals find out by each other's PREPAREs") {
  Lone one(1);
  Lone other(3);
  one.from(0, one.proposal(0, 1, kWall));
  one.sync();
  other.from(0, other.proposal(0, 1, kWall + 1));
  const Prepare vote = other.prepare(3, other.proposal(0, 1, kWall + 1).proposal);
  const auto shown = all<messages::PrePrepare>(one.from(3, vote));
  REQUIRE(shown.size() == 1);
  CHECK(all<messages::PrePrepare>(one.from(3, vote)).empty());  // once
  other.from(1, shown.front());
  CHECK(accusations(other) == std::vector{Accusation{0, Offence::two_proposals, 0, 1}});
  CHECK(other.core->view() == 1);
}

TEST_CASE("two proposals for a sequence number that NEW-VIEW named are evidence, too") {
  Lone r(3);
  const auto old = r.proposal(0, 1, kWall);
  std::vector<ViewChange> votes;
  for (const ReplicaId v : {0U, 1U, 2U}) {
    ViewChange vc;
    vc.new_view = 1;
    vc.replica = v;
    messages::PreparedCert p;
    p.proposal = old.proposal;
    p.primary_signature = old.signature;
    for (const ReplicaId b : {1U, 2U}) {
      p.backups |= 1U << b;
      p.signatures.push_back(r.prepare(b, old.proposal).signature);
    }
    vc.prepared.push_back(p);
    messages::sign_view_change(*r.signers[v], r.context(), vc);
    votes.push_back(vc);
    r.from(v, vc);
  }
  messages::NewView nv = r.new_view(1, votes, 0);
  const messages::Proposal again{1, 1, old.proposal.digest};
  nv.proposals.push_back(
      {1, again.digest, messages::sign_pre_prepare(*r.signers[1], r.context(), again)});
  messages::sign_new_view(*r.signers[1], r.context(), nv);
  r.from(1, nv);
  REQUIRE(r.core->active());
  REQUIRE(r.core->view() == 1);
  r.from(1, r.proposal(1, 1, kWall + 7));
  CHECK(accusations(r) == std::vector{Accusation{1, Offence::two_proposals, 1, 1}});
  CHECK(r.core->view() == 2);
}

TEST_CASE(
    "two PREPAREs, two shares, a share against the certificate: evidence, and no view is left") {
  Lone r(1);
  const Evidence prepares = two_prepares(r);
  r.from(kLiar, std::get<Prepare>(prepares.first));
  r.from(kLiar, std::get<Prepare>(*prepares.second));
  r.from(kLiar, r.share(kLiar, r.certificate(5).body));
  r.from(kLiar, wrong_share(r, 5));
  CHECK(accusations(r) == std::vector{Accusation{kLiar, Offence::two_prepares, 0, 1},
                                      Accusation{kLiar, Offence::two_shares, 0, 5}});
  Lone s(1);
  s.from(kLiar, wrong_share(s, 5));
  s.from(0, s.certificate(5));
  CHECK(accusations(s) == std::vector{Accusation{kLiar, Offence::wrong_share, 0, 5}});
  Lone late(1);  // the share comes behind the certificate
  late.from(0, late.certificate(5));
  late.from(kLiar, wrong_share(late, 5));
  CHECK(accusations(late) == std::vector{Accusation{kLiar, Offence::wrong_share, 0, 5}});
  for (const Lone* one : {&r, &s, &late}) {
    CHECK(one->core->active());
    CHECK(one->core->view() == 0);
  }
}

TEST_CASE("two VIEW-CHANGEs, two NEW-VIEWs, and what no correct replica signs") {
  Lone r(0);
  ViewChange other = r.view_change(kLiar, 2);
  other.reason = Reason::joined;
  messages::sign_view_change(*r.signers[kLiar], r.context(), other);
  r.from(kLiar, r.view_change(kLiar, 2));
  r.from(3, other);  // handed on by another one
  ViewChange unproven = r.view_change(3, 2);
  unproven.prepared.emplace_back();
  messages::sign_view_change(*r.signers[3], r.context(), unproven);
  r.from(3, unproven);
  CHECK(accusations(r) == std::vector{Accusation{kLiar, Offence::two_view_changes, 2, 0},
                                      Accusation{3, Offence::unproven_view_change, 2, 0}});

  Lone s(3);
  std::vector<ViewChange> votes;
  for (const ReplicaId v : {0U, 1U, 2U}) votes.push_back(s.view_change(v, 1));
  for (const ViewChange& vc : votes) s.from(vc.replica, vc);
  s.from(1, s.new_view(1, votes, 0));
  REQUIRE(s.core->active());
  s.from(1, s.new_view(1, votes, 3));
  CHECK(accusations(s) == std::vector{Accusation{1, Offence::two_new_views, 1, 0}});
}

TEST_CASE(
    "who lacks evidence is offered it with every STATUS, at a bounded rate, never the accused") {
  Lone r(1);
  r.from(0, two_prepares(r));
  REQUIRE(r.accused.size() == 1);
  CHECK(r.core->evidence().accused() == 1U << kLiar);
  PeerStatus lacks;
  PeerStatus knows;
  knows.accused = 1U << kLiar;
  const auto offered = [&](ReplicaId who, const PeerStatus& status) {
    r.now_us += 100'000;
    return all<Evidence>(r.from(who, status)).size();
  };
  CHECK(offered(3, knows) == 0);
  CHECK(offered(3, lacks) == 1);
  CHECK(offered(3, lacks) == 0);
  r.now_us += 1'000'000;
  CHECK(offered(3, lacks) == 1);  // the first was lost
  CHECK(offered(kLiar, lacks) == 0);
  std::uint32_t told = 0;
  for (const PeerStatus& s : all<PeerStatus>(r.tick_after(2'000'000))) told |= s.accused;
  CHECK(told == 1U << kLiar);
}

TEST_CASE("strategy 48: forged evidence convinces nobody, and its sender is not heard again") {
  Lone r(1);
  Evidence forged = two_prepares(r);
  std::get<Prepare>(forged.first).signature[0] ^= 1;
  CHECK(all<Evidence>(r.from(0, forged)).empty());
  CHECK(r.accused.empty());
  CHECK(r.core->evidence().size() == 0);
  r.from(0, two_prepares(r));  // true, but nothing of this sender is looked at any more
  CHECK(r.accused.empty());
  r.from(3, two_prepares(r));
  CHECK(r.accused.size() == 1);
  // Statements that contradict nothing are no less forged.
  const messages::Proposal p = r.proposal(0, 1, kWall).proposal;
  r.from(kLiar, Evidence{r.prepare(3, p), r.prepare(3, p)});
  CHECK(r.accused.size() == 1);
}

TEST_CASE("evidence of an earlier start is proven again; what does not hold is left out") {
  Lone r(1);
  const Evidence good = two_prepares(r);
  Evidence bad = good;
  std::get<Prepare>(bad.first).signature[0] ^= 1;
  Actions out;
  Options options;
  options.self = 1;
  options.cluster_id = r.cluster_id;
  options.config = r.config;
  Core core(options, *r.signers[1], r.verifier, *r.machine, *r.archive);
  Recovered recovered;
  recovered.evidence = {bad, good};
  core.start(std::move(recovered), {r.now_us, kWall}, out);
  CHECK(core.evidence().size() == 1);
  REQUIRE(core.evidence().at(0) != nullptr);
  CHECK(*core.evidence().at(0) == good);
  for (const Action& a : out) CHECK_FALSE(std::holds_alternative<action::Accused>(a));
}
