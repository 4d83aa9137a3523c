#include <doctest/doctest.h>

#include "cluster.hpp"

using namespace bftmeta;
using namespace bftmeta::verify;
using verify::testing::Cluster;
using verify::testing::CountingVerifier;

TEST_CASE("a trust anchor comes from the genesis bytes alone") {
  const Cluster cluster;
  const auto anchor = TrustAnchor::from_genesis(encode(cluster.genesis));
  REQUIRE(anchor);
  CHECK(anchor->cluster_id == cluster.genesis.cluster_id());
  Bytes longer = encode(cluster.genesis);
  longer.push_back(0);
  CHECK(TrustAnchor::from_genesis(longer).error().code == Errc::malformed);
}

TEST_CASE("a certificate is verified once, then known by its body") {
  const Cluster cluster;
  CountingVerifier verifier;
  Certificates certificates(verifier, cluster.anchor());
  CHECK(certificates.newest() == nullptr);
  const auto cert = cluster.certify(cluster.body(5));
  REQUIRE(certificates.check(cert));
  CHECK(verifier.checks == 3);
  REQUIRE(certificates.check(cert));
  REQUIRE(certificates.check(cluster.sign(cluster.body(5), {1, 2, 3})));
  CHECK(verifier.checks == 3);
  CHECK(certificates.newest_seq() == 5);
  REQUIRE(certificates.find(5) != nullptr);
  CHECK(*certificates.find(5) == cert);
}

TEST_CASE("certificates that do not hold are refused and not remembered") {
  const Cluster cluster;
  const crypto::Ed25519Verifier verifier;
  Certificates certificates(verifier, cluster.anchor());
  const auto refused = [&](const messages::RootCert& cert) {
    const Status s = certificates.check(cert);
    return !s && s.error().code == Errc::unverified && certificates.newest() == nullptr;
  };
  const messages::CertBody body = cluster.body(5);

  SUBCASE("f + 1 signatures") { CHECK(refused(cluster.sign(body, {0, 1}))); }
  SUBCASE("more than a quorum") { CHECK(refused(cluster.sign(body, {0, 1, 2, 3}))); }
  SUBCASE("the same signer three times") { CHECK(refused(cluster.sign(body, {1, 1, 1}))); }
  SUBCASE("the same signer twice, a third name in the bitmap") {
    auto cert = cluster.sign(body, {0, 1, 1});
    cert.signers = 0b111;
    CHECK(refused(cert));
  }
  SUBCASE("signatures not in replica order") { CHECK(refused(cluster.sign(body, {2, 1, 0}))); }
  SUBCASE("a signer outside the configuration") {
    auto cert = cluster.certify(body);
    cert.signers = 0b10011;
    CHECK(refused(cert));
  }
  SUBCASE("another cluster with the same keys") {
    const Cluster other(2);
    CHECK(refused(other.certify(other.body(5))));
  }
  SUBCASE("the body claims another cluster") {
    auto other = body;
    other.cluster_id = verify::testing::filled(9);
    CHECK(refused(cluster.certify(other)));
  }
  SUBCASE("another epoch") {
    auto other = body;
    other.epoch = 1;
    CHECK(refused(cluster.certify(other)));
  }
  SUBCASE("another configuration") {
    auto other = body;
    other.config_hash = verify::testing::filled(9);
    CHECK(refused(cluster.certify(other)));
  }
  SUBCASE("sequence number zero") { CHECK(refused(cluster.certify(cluster.body(0)))); }
  SUBCASE("a changed root") {
    auto cert = cluster.certify(body);
    cert.body.state_root[0] ^= 1;
    CHECK(refused(cert));
  }
}

TEST_CASE("two certified roots of one sequence number are an alarm of their own") {
  const Cluster cluster;
  const crypto::Ed25519Verifier verifier;
  Certificates certificates(verifier, cluster.anchor());
  REQUIRE(certificates.check(cluster.certify(cluster.body(5))));
  auto other = cluster.body(5);
  other.state_root = verify::testing::filled(0xee);
  const Status s = certificates.check(cluster.certify(other));
  REQUIRE_FALSE(s);
  CHECK(s.error().message.find("more than 1 faulty") != std::string::npos);
  CHECK(certificates.find(5)->body == cluster.body(5));
}

TEST_CASE("memory is bounded and the newest certificate stays") {
  const Cluster cluster;
  const crypto::Ed25519Verifier verifier;
  Certificates certificates(verifier, cluster.anchor(), 3);
  for (messages::Seq seq : {10U, 12U, 11U, 13U, 2U})
    REQUIRE(certificates.check(cluster.certify(cluster.body(seq))));
  CHECK(certificates.newest_seq() == 13);
  CHECK(certificates.find(10) == nullptr);
  CHECK(certificates.find(2) == nullptr);
  CHECK(certificates.find(11) != nullptr);
}

TEST_CASE("the saved state comes back, and is refused when it was touched or is of elsewhere") {
  const Cluster cluster;
  const crypto::Ed25519Verifier verifier;
  Certificates before(verifier, cluster.anchor());
  CHECK(before.save().empty());
  REQUIRE(before.check(cluster.certify(cluster.body(9))));
  Bytes saved = before.save();

  Certificates after(verifier, cluster.anchor());
  REQUIRE(after.restore({}));
  CHECK(after.newest_seq() == 0);
  REQUIRE(after.restore(saved));
  CHECK(after.newest_seq() == 9);

  const Cluster other(2);
  Certificates elsewhere(verifier, other.anchor());
  CHECK(elsewhere.restore(saved).error().code == Errc::unverified);

  saved[200] ^= 4;
  Certificates touched(verifier, cluster.anchor());
  CHECK_FALSE(touched.restore(saved));
  CHECK(touched.newest() == nullptr);
}
