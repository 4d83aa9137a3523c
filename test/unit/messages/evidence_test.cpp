// judge(): what two signed statements prove, and what they do not.
#include <doctest/doctest.h>

#include <set>

#include "samples.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
using namespace bftmeta::messages;

namespace {

struct Evidences {
  Cluster c{4};

  std::optional<Accusation> judged(const Evidence& e) const {
    const auto a = judge(c.verifier, c.context, c.config(), e);
    return a ? std::optional(*a) : std::nullopt;
  }

  SignedProposal proposal(View view, Seq seq, std::uint8_t digest) const {
    const Proposal p{view, seq, pattern(digest)};
    return {p, sign_pre_prepare(c.primary(view), c.context, p)};
  }
  Prepare prepare(ReplicaId who, Proposal p) const {
    return sign_prepare(*c.replicas[who], c.context, p, who);
  }
  RootShare share(ReplicaId who, CertBody body) const {
    return sign_share(*c.replicas[who], body, who);
  }
  ViewChange view_change(Reason reason) const {
    ViewChange vc = sample_view_change(c);
    vc.reason = reason;
    sign_view_change(*c.replicas[vc.replica], c.context, vc);
    return vc;
  }
  NewView new_view(Seq base) const {
    NewView nv;
    nv.view = 1;
    nv.base_seq = base;
    for (ReplicaId r = 0; r < c.config().quorum(); ++r) nv.votes.push_back({r, pattern(7)});
    sign_new_view(c.primary(1), c.context, nv);
    return nv;
  }

  // One of every offence, with what it proves.
  std::vector<std::pair<Evidence, Accusation>> all() const {
    const CertBody body = sample_body(c, 6);
    CertBody other = body;
    other.state_root = pattern(9);
    ViewChange unproven = sample_view_change(c);
    unproven.prepared.front().signatures.front() = unproven.prepared.back().signatures.front();
    sign_view_change(*c.replicas[unproven.replica], c.context, unproven);
    NewView malformed = sample_new_view(c);
    malformed.proposals.front().signature = malformed.proposals.back().signature;
    sign_new_view(c.primary(malformed.view), c.context, malformed);
    return {
        {{proposal(1, 5, 1), proposal(1, 5, 2)}, {1, Offence::two_proposals, 1, 5}},
        {{prepare(2, {1, 5, pattern(1)}), prepare(2, {1, 5, pattern(2)})},
         {2, Offence::two_prepares, 1, 5}},
        {{share(3, body), share(3, other)}, {3, Offence::two_shares, 0, 6}},
        {{view_change(Reason::joined), view_change(Reason::equivocation)},
         {1, Offence::two_view_changes, 2, 0}},
        {{new_view(4), new_view(5)}, {1, Offence::two_new_views, 1, 0}},
        {{share(3, other), c.certify(body, c.quorum_bitmap())}, {3, Offence::wrong_share, 0, 6}},
        {{unproven, std::nullopt}, {1, Offence::unproven_view_change, 2, 0}},
        {{malformed, std::nullopt}, {1, Offence::malformed_new_view, 1, 0}}};
  }
};

// Flips a bit of the first signature that `change` is given.
void spoil(Signature& s) { s[0] ^= 1; }

}  // namespace

TEST_CASE_FIXTURE(Evidences, "evidence: every offence is proven by its statements") {
  std::set<Offence> seen;
  for (const auto& [evidence, accusation] : all()) {
    CAPTURE(to_string(accusation));
    CHECK(judged(evidence) == accusation);
    CHECK(claim_of(c.config(), evidence).value() == accusation);
    seen.insert(accusation.offence);
  }
  CHECK(seen.size() == static_cast<std::size_t>(Offence::malformed_new_view));
}

TEST_CASE_FIXTURE(Evidences, "evidence: one bad signature, and it proves nothing") {
  for (const auto& [good, accusation] : all()) {
    CAPTURE(to_string(accusation));
    const auto spoiled = [](Statement s) {
      if (auto* p = std::get_if<SignedProposal>(&s)) spoil(p->signature);
      if (auto* p = std::get_if<Prepare>(&s)) spoil(p->signature);
      if (auto* p = std::get_if<RootShare>(&s)) spoil(p->signature);
      if (auto* p = std::get_if<ViewChange>(&s)) spoil(p->signature);
      if (auto* p = std::get_if<NewView>(&s)) spoil(p->signature);
      if (auto* p = std::get_if<RootCert>(&s)) spoil(p->signatures.front());
      return s;
    };
    CHECK_FALSE(judged({spoiled(good.first), good.second}));
    if (good.second) CHECK_FALSE(judged({good.first, spoiled(*good.second)}));
  }
}

TEST_CASE_FIXTURE(Evidences, "evidence: what a correct replica signs accuses nobody") {
  const CertBody body = sample_body(c, 6);
  CertBody later = sample_body(c, 7);
  const std::vector<Evidence> innocent = {
      {proposal(1, 5, 1), proposal(1, 5, 1)},  // twice the same
      {proposal(1, 5, 1), proposal(1, 6, 2)},  // of two sequence numbers
      {proposal(1, 5, 1), proposal(5, 5, 2)},  // of two views, by the same primary
      {prepare(2, {1, 5, pattern(1)}), prepare(3, {1, 5, pattern(2)})},
      {prepare(2, {1, 5, pattern(1)}), prepare(2, {3, 5, pattern(2)})},
      {share(3, body), share(3, later)},
      {share(3, body), share(2, later)},
      {share(3, body), c.certify(body, c.quorum_bitmap())},
      {share(3, later), c.certify(body, c.quorum_bitmap())},
      {view_change(Reason::joined), view_change(Reason::joined)},
      {new_view(4), new_view(4)},
      {sample_view_change(c), std::nullopt},
      {sample_new_view(c), std::nullopt},
      {proposal(1, 5, 1), std::nullopt},
      {share(3, body), std::nullopt},
      {c.certify(body, c.quorum_bitmap()), c.certify(later, c.quorum_bitmap())},
      {proposal(1, 5, 1), prepare(1, {1, 5, pattern(2)})},
  };
  for (std::size_t i = 0; i < innocent.size(); ++i) {
    CAPTURE(i);
    CHECK_FALSE(judged(innocent[i]));
  }
}

TEST_CASE_FIXTURE(Evidences,
                  "evidence: who signs with a key of another does not accuse the other") {
  const Proposal a{1, 5, pattern(1)};
  const Proposal b{1, 5, pattern(2)};
  // Replica 3 signs as if it were replica 2.
  Prepare forged = sign_prepare(*c.replicas[3], c.context, b, 2);
  CHECK_FALSE(judged({prepare(2, a), forged}));
  // A member's number that does not exist.
  forged.replica = 4;
  CHECK_FALSE(judged({forged, forged}));
  // A signature for another cluster.
  Cluster other(4, 1);
  CHECK_FALSE(judged({prepare(2, a), sign_prepare(*c.replicas[2], other.context, b, 2)}));
}

TEST_CASE_FIXTURE(Evidences,
                  "evidence: what its statements say, and what is wrong with one alone") {
  std::set<std::string> kinds;
  for (const auto& [evidence, accusation] : all()) {
    CAPTURE(to_string(accusation));
    const Said first = said_by(c.config(), evidence.first);
    kinds.insert(first.kind);
    CHECK(first.signers == 1U << accusation.replica);
    CHECK(first.view == accusation.view);
    CHECK(first.seq == accusation.seq);
    const auto flaw = flaw_of(c.verifier, c.context, c.config(), evidence.first);
    CHECK(flaw.has_value() == !evidence.second.has_value());
    if (!evidence.second) continue;
    const Said second = said_by(c.config(), *evidence.second);
    kinds.insert(second.kind);
    CHECK(second.view == first.view);
    CHECK(second.seq == first.seq);
    CHECK(second.digest != first.digest);
    CHECK(second.signers ==
          (accusation.offence == Offence::wrong_share ? c.quorum_bitmap() : first.signers));
  }
  CHECK(kinds == std::set<std::string>{"NEW-VIEW", "PRE-PREPARE", "PREPARE", "ROOT-CERT",
                                       "ROOT-SHARE", "VIEW-CHANGE"});
  CHECK(said_by(c.config(), proposal(1, 5, 2)).digest == pattern(2));
}

TEST_CASE_FIXTURE(Evidences, "evidence file: one encoding; of one cluster; nothing behind it") {
  const KeptEvidence kept{3, sample_evidence(c)};
  const Hash& cluster = c.context.cluster_id;
  const Bytes file = encode_evidence_file(cluster, kept);
  REQUIRE(decode_evidence_file(cluster, file).value() == kept);
  for (std::size_t size = 0; size < file.size(); size += 7)
    CHECK_FALSE(decode_evidence_file(cluster, ByteView(file).first(size)));
  Bytes longer = file;
  longer.push_back(0);
  CHECK_FALSE(decode_evidence_file(cluster, longer));
  Bytes magic = file;
  magic[0] ^= 1;
  CHECK_FALSE(decode_evidence_file(cluster, magic));
  const Cluster other(4, 1);
  CHECK(decode_evidence_file(other.context.cluster_id, file).error().code == Errc::identity);
  // Layout: magic 8, cluster 32, epoch 8, statements.
  CHECK(to_hex(ByteView(file).first(8)) == "424d464556494431");
  CHECK(equal(ByteView(file).subspan(8, 32), cluster));
  CHECK(file[40] == 3);
  CHECK(equal(ByteView(file).subspan(48), encode(kept.evidence)));
}

TEST_CASE("evidence file: the name says epoch, member and offence") {
  CHECK(evidence_file_name(7, {2, Offence::two_new_views, 9, 0}) ==
        "epoch-7-replica-2-two-new-views.evidence");
}
