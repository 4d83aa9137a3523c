#include <doctest/doctest.h>

#include "cluster.hpp"

using namespace bftmeta;
using namespace bftmeta::verify;
using verify::testing::Cluster;
using verify::testing::filled;
using verify::testing::Ledger;

namespace {

Ledger::Outcome outcome(std::uint64_t bundle_no, std::uint8_t request,
                        schema::Code code = schema::Code::ok) {
  Ledger::Outcome o;
  o.expected.session_id.fill(0x5e);
  o.expected.bundle_no = bundle_no;
  o.expected.request_digest = filled(request);
  o.result.results.push_back({code, std::nullopt});
  return o;
}

struct Setup {
  Cluster cluster;
  Ledger ledger{cluster};
  crypto::Ed25519Verifier verifier;
  Certificates certificates{verifier, cluster.anchor()};
  std::vector<Ledger::Outcome> outcomes;

  Setup() {
    for (std::uint8_t i = 1; i <= 5; ++i) outcomes.push_back(outcome(i, i));
    outcomes[1].result.results[0].code = schema::Code::exists;
    ledger.append({outcome(1, 0x70)});
    ledger.append(outcomes);
    ledger.append({});
    ledger.append({outcome(2, 0x71)});
  }

  bool refused(const messages::Reply& reply, std::size_t index = 1) {
    const auto r = verify_reply(reply, outcomes[index].expected, certificates);
    return !r && exit_code_of(r.error().code) == ExitCode::verification_failed;
  }
};

}  // namespace

TEST_CASE("every reply of a batch verifies under its own and under later certificates") {
  Setup s;
  for (std::size_t i = 0; i < s.outcomes.size(); ++i) {
    for (messages::Seq cert : {2U, 3U, 4U}) {
      const auto r =
          verify_reply(s.ledger.reply(2, i, cert), s.outcomes[i].expected, s.certificates);
      REQUIRE(r);
      CHECK(r->result == s.outcomes[i].result);
      CHECK(r->seq == 2);
      CHECK(r->time_us == 1'000'002);
    }
  }
  CHECK(s.certificates.newest_seq() == 4);
}

TEST_CASE("a reply to something else is refused") {
  Setup s;
  SUBCASE("valid reply of another bundle") { CHECK(s.refused(s.ledger.reply(2, 2, 2))); }
  SUBCASE("valid reply of another bundle with the same number") {
    Ledger::Outcome other = outcome(2, 0x99);
    s.ledger.append({other});
    CHECK(s.refused(s.ledger.reply(5, 0, 5)));
    messages::Reply renamed = s.ledger.reply(5, 0, 5);
    renamed.request_digest = s.outcomes[1].expected.request_digest;
    CHECK(s.refused(renamed));
  }
  SUBCASE("of another session") {
    messages::Reply r = s.ledger.reply(2, 1, 2);
    r.session_id[0] ^= 1;
    CHECK(s.refused(r));
  }
}

TEST_CASE("a reply with a forged part is refused") {
  Setup s;
  messages::Reply r = s.ledger.reply(2, 1, 4);
  REQUIRE_FALSE(s.refused(r));
  SUBCASE("results") {
    schema::BundleResult lie = s.outcomes[1].result;
    lie.results[0].code = schema::Code::ok;
    r.results = encode(lie);
  }
  SUBCASE("path") { r.path[0][3] ^= 0x10; }
  SUBCASE("a path of another length") { r.path.push_back(filled(0)); }
  SUBCASE("leaf index") { r.leaf_index = 0; }
  SUBCASE("leaf index behind the end") { r.leaf_index = 5; }
  SUBCASE("no header") { r.headers.clear(); }
  SUBCASE("the linear part is cut short") { r.headers.erase(r.headers.begin() + 1); }
  SUBCASE("a header in the middle of the linear part") { r.headers[1].state_root[0] ^= 1; }
  SUBCASE("the start of the linear part") { r.history_before[0] ^= 1; }
  SUBCASE("headers of an own history that ends in the certificate's fields") {
    Cluster& c = s.cluster;
    Ledger fake(c);
    fake.append({outcome(1, 0x70)});
    auto lies = s.outcomes;
    lies[1].result.results[0].code = schema::Code::ok;
    fake.append(lies);
    fake.append({});
    fake.append({outcome(2, 0x71)});
    messages::Reply forged = fake.reply(2, 1, 4);
    forged.cert = s.ledger.reply(2, 1, 4).cert;
    r = forged;
  }
  SUBCASE("certificate with f + 1 signatures") {
    r.cert = s.cluster.sign(s.ledger.body(4), {0, 1});
    s.certificates = Certificates(s.verifier, s.cluster.anchor());
  }
  SUBCASE("certificate of a batch without this reply") {
    r.headers.erase(r.headers.begin());
    r.history_before = messages::extend_history(s.ledger.reply(2, 1, 4).history_before,
                                                s.ledger.reply(2, 1, 4).headers[0]);
  }
  CHECK(s.refused(r));
}

TEST_CASE("certified bytes that are no bundle result are malformed, not a crash") {
  Setup s;
  messages::Reply r = s.ledger.reply(2, 1, 2);
  r.results.push_back(0);
  CHECK(s.refused(r));
}
