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

TEST_CASE("T4.3 nondeterminism in two replicas: no certificate, hence no reply") {
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
    // Two against two: nobody can tell who is wrong. Two that agree prove each other one wrong.
    const std::set<ReplicaId> wrong = alike ? std::set<ReplicaId>{} : std::set<ReplicaId>{2, 3};
    for (const ReplicaId r : h.live()) {
      CHECK(h.halted.contains(r) == wrong.contains(r));
      CHECK(h.diverged.contains(r) == wrong.contains(r));
      CHECK(h.core(r).certified_seq() == before);
      for (const messages::RootCert& cert : h.announced[r]) CHECK(cert.body.seq <= before);
    }
  }
}

TEST_CASE(
    "T4.2 f silent and one damaged: no certificate will come, and f+1 shares stop the damaged") {
  for (const std::uint32_t n : {4U, 7U}) {
    CAPTURE(n);
    Hand h(n);
    const Id16 session = h.open_session();
    order_bundle(h, session, 1);
    const Seq before = h.core(2).certified_seq();
    h.machine(2).damage(1);
    h.pass = [&](const Mail& m) {  // the last f neither speak nor hear
      return m.from < n - h.f() && m.to < n - h.f();
    };
    h.submit(0, h.bundle(session, 2));
    h.run(50 * kMs);
    REQUIRE(h.machine(2).executed_seq() == before + 1);
    CHECK(h.halted.empty());  // shares that would speak for it may be on their way
    h.run(kSecond);
    REQUIRE(h.diverged.contains(2));
    CHECK(h.halted.at(2).code == Errc::corrupt);
    const action::Diverged& d = h.diverged.at(2);
    CHECK(d.own.seq == before + 1);
    CHECK(d.agreed_upto == before);
    CHECK_FALSE(d.cert.has_value());
    CHECK_FALSE(d.agreed_header.has_value());
    REQUIRE(d.shares.size() >= h.config.weak_quorum());
    for (const messages::RootShare& share : d.shares) {
      CHECK(messages::verify_share(h.verifier, h.config, share));
      CHECK(share.body == d.shares.front().body);
      CHECK(share.body != d.own);
      CHECK(share.body.seq == d.own.seq);
    }
    CHECK(h.halted.size() == 1);
    // The others find each other as soon as the silent ones are back.
    h.crash(2);
    h.pass = nullptr;
    CHECK(h.run_until([&] { return h.core(0).certified_seq() > before; }, 10 * kSecond));
  }
}

TEST_CASE("f liars alone, or with one damaged replica, stop no correct one by their shares") {
  for (const std::uint32_t n : {4U, 7U})
    for (const bool damaged : {false, true}) {
      CAPTURE(n);
      CAPTURE(damaged);
      std::set<ReplicaId> liars;
      for (ReplicaId r = n - (n - 1) / 3; r < n; ++r) liars.insert(r);
      Hand h(n, all_but(n, liars));
      const Id16 session = h.open_session();
      const Seq before = h.core(0).certified_seq();
      std::optional<messages::CertBody> lie;
      h.pass = [&](const Mail& m) {  // no certificate decides
        const auto* share = m.get<messages::RootShare>();
        if (share && share->body.seq > before && m.from == 2) lie = share->body;
        return !m.get<messages::RootCert>() && !(share && m.from == 1 && m.to != 0);
      };
      if (damaged) h.machine(2).damage(1);
      h.submit(0, h.bundle(session, 1));
      h.run(50 * kMs);
      REQUIRE(lie.has_value());
      if (!damaged) lie->state_root[0] ^= 1;
      for (const ReplicaId liar : liars)
        for (const ReplicaId r : h.live())
          h.send(liar, r, messages::sign_share(h.signer(liar), *lie, liar));
      h.run(2 * kSecond);
      CHECK_FALSE(h.halted.contains(0));
      for (const auto& [r, error] : h.halted) CHECK((damaged && r == 2));
    }
}

TEST_CASE("a share whose signature does not hold is none of the f+1") {
  Restarted r(2);
  r.start_and_hear();
  r.commit_batch(0, 1);
  REQUIRE(r.said<messages::RootShare>().size() == 1);
  messages::CertBody other = r.said<messages::RootShare>().front().body;
  other.state_root[0] ^= 1;
  const auto share = [&](ReplicaId who) {
    return messages::sign_share(*r.signers[who], other, who);
  };
  messages::RootShare broken = share(1);
  broken.signature[0] ^= 1;
  r.from(0, share(0));
  r.from(1, broken);
  for (int i = 0; i < 40; ++i) r.tick(50'000);
  CHECK(r.halts.empty());
  r.from(3, share(3));
  for (int i = 0; i < 4; ++i) r.tick(50'000);
  REQUIRE(r.diverged.size() == 1);
  CHECK(r.diverged[0].shares == std::vector{share(0), share(3)});
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
  CHECK(r.halts.empty());
  CHECK(r.core->out_of_service());
  CHECK_FALSE(r.core->may_vote());
  CHECK(r.transfers.empty());  // the record of it comes first
  r.sync_all();
  CHECK(r.transfers == std::vector<Seq>{1});
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
  CHECK(r.halts.empty());
  CHECK(r.core->out_of_service());
  const action::Diverged& d = r.diverged[0];
  CHECK(d.own.seq == 1);
  CHECK_FALSE(d.cert.has_value());
  CHECK(d.agreed_header == elsewhere[0].header);
  CHECK(d.header.state_root != elsewhere[0].header.state_root);
  CHECK(d.batch->batch == batches[0].batch);
  CHECK(r.said<messages::RootShare>().empty());
  CHECK(std::ranges::count(r.disk.records, RecordKind::executed, &Record::kind) == 0);
}

TEST_CASE(
    "a restart that computes another result than before is out of service, restarts included") {
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
  CHECK(r.halts.empty());
  CHECK(r.core->out_of_service());
  r.sync_all();
  r.power_cut();
  r.diverged.clear();
  r.transfers.clear();
  r.start_and_hear();
  CHECK(r.diverged.empty());  // nothing of the log is executed again
  CHECK(r.machine->executed_seq() == 0);
  CHECK(r.core->out_of_service());
  CHECK_FALSE(r.core->may_vote());
  CHECK(r.transfers.size() == 1);
}
