// A replica that computes another state than the certified one (protocol §4.5).
#include "hand.hpp"
#include "restart.hpp"

using namespace bftmeta;
using namespace bftmeta::consensus;
using namespace bftmeta::consensus::testing;

namespace {

// A bundle of the session at every live replica, and time for it to be ordered.
void order_bundle(Hand& h, const Id16& session, std::uint64_t number) {
  for (const ReplicaId r : h.live()) h.submit(r, h.bundle(session, number));
  h.run(200 * kMs);
}

Seq highest_executed(Hand& h) {
  Seq seq = 0;
  for (const ReplicaId r : h.live()) seq = std::max(seq, h.machine(r).executed_seq());
  return seq;
}

// What the machine of another replica makes of these batches.
std::vector<Outcome> outcomes_elsewhere(const Restarted& r,
                                        const std::vector<PrePrepare>& batches) {
  sim::ToyMachine peer(r.cluster_id, r.config);
  std::vector<Outcome> outcomes;
  for (const PrePrepare& m : batches)
    outcomes.push_back(*peer.execute(*messages::parse_batch(r.context(), m.batch)));
  return outcomes;
}

}  // namespace

TEST_CASE("T4.2 a bit flip in one replica: it says what it computed, halts, the others go on") {
  Hand h(4);
  const Id16 session = h.open_session();
  order_bundle(h, session, 1);
  const Seq before = h.core(2).certified_seq();
  REQUIRE(before == h.machine(2).executed_seq());
  h.machine(2).damage(1);
  order_bundle(h, session, 2);

  REQUIRE(h.halted.contains(2));
  CHECK(h.halted.at(2).code == Errc::corrupt);
  REQUIRE(h.diverged.contains(2));
  const action::Diverged& d = h.diverged.at(2);
  CHECK(d.agreed_upto == before);
  CHECK(d.own.seq == before + 1);
  REQUIRE(d.cert.has_value());
  CHECK(messages::verify_cert(h.verifier, h.cluster_id, h.config, *d.cert).has_value());
  CHECK(d.cert->body.seq == d.own.seq);
  CHECK(d.cert->body.state_root != d.own.state_root);
  CHECK_FALSE(d.agreed_header.has_value());
  CHECK(d.header.seq == d.own.seq);
  CHECK(d.header.state_root == d.own.state_root);
  REQUIRE(d.batch != nullptr);
  CHECK(d.batch->digest == d.header.batch_digest);
  CHECK(d.batch->batch.items.size() == 1);
  for (const messages::RootCert& cert : h.announced[2]) CHECK(cert.body.seq <= before);

  // It is silent from here on, and the other three order what comes.
  h.crash(2);
  order_bundle(h, session, 3);
  CHECK(h.halted.size() == 1);
  for (const ReplicaId r : {0U, 1U, 3U}) CHECK(h.core(r).certified_seq() >= before + 2);
}

TEST_CASE("T4.3 nondeterminism in two replicas: no certificate, hence no reply, and no halt") {
  for (const bool alike : {true, false}) {
    CAPTURE(alike);
    Hand h(4);
    const Id16 session = h.open_session();
    order_bundle(h, session, 1);
    const Seq before = h.core(0).certified_seq();
    REQUIRE(before == highest_executed(h));
    h.machine(2).damage(1);
    h.machine(3).damage(alike ? 1 : 2);
    std::map<Seq, std::set<Hash>> roots;
    h.pass = [&](const Mail& m) {
      if (const auto* share = m.get<messages::RootShare>(); share && share->body.seq > before)
        roots[share->body.seq].insert(share->body.state_root);
      return true;
    };
    for (std::uint64_t number = 2; number < 12; ++number) order_bundle(h, session, number);
    h.run(10 * kSecond);

    CHECK(highest_executed(h) > before);  // agreement is not what stops
    CHECK(highest_executed(h) <= before + limits::kWindow);
    REQUIRE(roots.contains(before + 1));
    CHECK(roots[before + 1].size() == (alike ? 2 : 3));
    CHECK(h.halted.empty());
    CHECK(h.diverged.empty());
    for (const ReplicaId r : h.live()) {
      CHECK(h.core(r).certified_seq() == before);
      for (const messages::RootCert& cert : h.announced[r]) CHECK(cert.body.seq <= before);
    }
  }
}

TEST_CASE("a certificate that comes before the own execution is contradicted as well") {
  Restarted r(2);
  r.start_and_hear();
  const auto elsewhere = outcomes_elsewhere(r, {r.proposal(0, 1)});
  r.from(0, r.certificate(elsewhere[0].body));
  REQUIRE(r.core->certified_seq() == 1);
  r.machine->damage(1);
  messages::HistoryData history;
  history.first = 1;
  history.headers = {elsewhere[0].header};
  history.batches = {r.proposal(0, 1).batch};
  history.cert = r.certificate(elsewhere[0].body);
  r.from(0, history);
  REQUIRE(r.diverged.size() == 1);
  CHECK(r.halts.size() == 1);
  CHECK(r.diverged[0].cert == history.cert);
  CHECK(r.diverged[0].own.state_root != elsewhere[0].body.state_root);
  CHECK(r.diverged[0].agreed_upto == 0);
}

TEST_CASE("catch-up: another result than at the others is neither logged nor signed") {
  Restarted r(2);
  r.start_and_hear();
  r.forget();
  const std::vector<PrePrepare> batches{r.proposal(0, 1), r.proposal(0, 2)};
  const auto elsewhere = outcomes_elsewhere(r, batches);
  r.machine->damage(1);
  messages::HistoryData history;
  history.first = 1;
  history.headers = {elsewhere[0].header, elsewhere[1].header};
  history.batches = {batches[0].batch, batches[1].batch};
  history.cert = r.certificate(elsewhere[1].body);
  r.from(0, history);
  r.sync_all();
  REQUIRE(r.diverged.size() == 1);
  REQUIRE(r.halts.size() == 1);
  CHECK(r.halts[0].find("than at the other replicas") != std::string::npos);
  const action::Diverged& d = r.diverged[0];
  CHECK(d.own.seq == 1);
  CHECK_FALSE(d.cert.has_value());
  CHECK(d.agreed_header == elsewhere[0].header);
  CHECK(d.header.state_root != elsewhere[0].header.state_root);
  CHECK(d.batch->batch == batches[0].batch);
  CHECK(r.said<messages::RootShare>().empty());
  CHECK(std::ranges::count(r.disk.records, RecordKind::executed, &Record::kind) == 0);
}

TEST_CASE("a restart that computes another result than before says so and halts") {
  Restarted r(2);
  r.start_and_hear();
  const PrePrepare m = r.proposal(0, 1);
  const auto elsewhere = outcomes_elsewhere(r, {m});
  r.commit_batch(0, 1);
  r.sync_all();
  REQUIRE(r.machine->executed_seq() == 1);
  r.power_cut();
  messages::BatchHeader before = elsewhere[0].header;
  before.state_root[5] ^= 1;  // the machine of the life before was damaged, or this one's is
  SUBCASE("than the log says") {
    for (Record& record : r.disk.records)
      if (record.kind == RecordKind::executed) record.payload = encode(before);
    r.start();
    REQUIRE(r.diverged.size() == 1);
    CHECK(r.diverged[0].agreed_header == before);
    CHECK_FALSE(r.diverged[0].cert.has_value());
  }
  SUBCASE("than is certified") {
    messages::CertBody certified = elsewhere[0].body;
    certified.state_root = before.state_root;
    r.disk.records.push_back(
        {RecordKind::certificate, 1, encode(r.certificate(certified)), std::nullopt});
    r.start();
    REQUIRE(r.diverged.size() == 1);
    REQUIRE(r.diverged[0].cert.has_value());
    CHECK(r.diverged[0].cert->body == certified);
  }
  CHECK(r.diverged[0].own == elsewhere[0].body);
  CHECK(r.diverged[0].header == elsewhere[0].header);
  CHECK(r.diverged[0].batch->batch == m.batch);
  CHECK(r.halts.size() == 1);
  CHECK(r.core->halted());
}
