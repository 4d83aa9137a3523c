// T1.3: what is authenticated by its link only counts for whoever that link belongs to, once. No
// such message names its sender; those that name one are believed by its signature, not by the
// name.
#include "hand.hpp"
#include "restart.hpp"

using namespace bftmeta;
using namespace bftmeta::consensus;
using namespace bftmeta::consensus::testing;
using messages::Reason;

TEST_CASE("T1.3 COMMITs of one link are one COMMIT") {
  Hand h(4, {1});
  const PrePrepare m = h.propose(0, h.batch(1));
  h.send(0, 1, m);
  for (const ReplicaId r : {2U, 3U}) h.send(r, 1, h.prepare(r, m.proposal));
  for (int i = 0; i < 5; ++i) h.send(3, 1, messages::Commit{m.proposal});
  CHECK(h.machine(1).executed_seq() == 0);
  h.send(2, 1, messages::Commit{m.proposal});
  CHECK(h.machine(1).executed_seq() == 1);
}

TEST_CASE("T1.3 SUSPECTs of one link are one SUSPECT, and its claims are one claim") {
  Hand h(4, {1});
  PeerStatus status;
  status.active = true;
  SUBCASE("of the primary") {
    status.suspects = Reason::request_timeout;
    for (int i = 0; i < 5; ++i) h.send(3, 1, status);
    CHECK(h.core(1).view() == 0);
    h.send(2, 1, status);
    CHECK(h.core(1).view() == 1);
  }
  SUBCASE("to have executed more") {
    status.executed = 50;
    for (int i = 0; i < 5; ++i) h.send(3, 1, status);
    h.run(2 * kSecond);
    CHECK(h.take_outside<messages::FetchHistory>().empty());
    h.send(2, 1, status);
    h.run(2 * kSecond);
    CHECK_FALSE(h.take_outside<messages::FetchHistory>().empty());
  }
}

TEST_CASE("T1.3 answers to HELLO of one link are one answer") {
  Restarted r(2);
  r.start();
  for (int i = 0; i < 5; ++i) r.hear(3);
  CHECK_FALSE(r.votes());
  r.hear(0);
  CHECK(r.votes());
}

TEST_CASE("T1.3 answers about P-entries of one link are one answer") {
  Restarted r(2);
  r.start_and_hear();
  const PrePrepare m = r.proposal(0, 1);
  sim::ToyMachine peer(r.cluster_id, r.config);
  const auto outcome = peer.execute(*messages::parse_batch(r.context(), m.batch));
  REQUIRE(outcome.has_value());
  r.from(0, r.certificate(outcome->body));
  for (int i = 0; i < 20 && r.said<messages::FetchPrepared>().empty(); ++i) r.tick(50'000);
  REQUIRE_FALSE(r.said<messages::FetchPrepared>().empty());
  for (int i = 0; i < 5; ++i) {
    r.from(3, messages::PreparedData{1, {r.prepared(m.proposal)}});
    r.from(3, messages::BatchData{m.batch});
  }
  CHECK(r.machine->executed_seq() == 0);
  r.from(0, messages::PreparedData{1, {}});
  r.from(3, messages::BatchData{m.batch});
  CHECK(r.machine->executed_seq() == 1);
}

TEST_CASE("T1.3 a vote or share in another's name is none of that other") {
  Hand h(4, {1});
  const PrePrepare m = h.propose(0, h.batch(1));
  h.send(0, 1, m);
  // Signed by replica 3, and it says that it is of replica 2.
  h.send(3, 1, messages::sign_prepare(h.signer(3), h.context(), m.proposal, 2));
  CHECK(h.core(1).distrusted() == 1U << 3);
  h.run(kSecond);
  CHECK((h.last_status(1)->slots.at(0).prepares >> 2 & 1) == 0);
  // Replica 2's own, whoever brings it.
  h.send(0, 1, h.prepare(2, m.proposal));
  for (const ReplicaId r : {0U, 2U}) h.send(r, 1, messages::Commit{m.proposal});
  REQUIRE(h.machine(1).executed_seq() == 1);
  h.deliver();
  const auto shares = h.take_outside<messages::RootShare>();
  REQUIRE_FALSE(shares.empty());
  const auto share = [&](ReplicaId key, ReplicaId name) {
    return messages::sign_share(h.signer(key), shares[0].body, name);
  };
  h.send(3, 1, share(0, 0));  // true, and not of this link
  h.send(3, 1, share(3, 2));
  h.send(2, 1, share(2, 3));
  h.run(kSecond);
  CHECK(h.core(1).certified_seq() == 0);
  for (const ReplicaId r : {0U, 2U}) h.send(r, 1, share(r, r));
  CHECK(h.core(1).certified_seq() == 1);
}
