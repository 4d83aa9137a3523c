#include <doctest/doctest.h>

#include "cluster.hpp"
#include "verify/epoch_chain.hpp"

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

namespace {

// A cluster that changes one member after another; each epoch is a test::Cluster with its keys.
struct Epochs {
  Cluster cluster;
  test::Cluster pool{7};                           // keys of members to come
  std::vector<std::uint32_t> members{0, 1, 2, 3};  // of the newest epoch, in the pool
  TrustAnchor at = cluster.anchor();
  crypto::Ed25519Verifier verifier;

  static constexpr messages::Seq kLength = 10;  // batches of an epoch
  messages::Seq end() const { return kLength * (at.config.epoch + 1); }

  messages::CertBody body(messages::Seq seq) const {
    messages::CertBody b = cluster.body(seq);
    b.epoch = at.config.epoch;
    b.config_hash = at.config.hash();
    return b;
  }
  messages::RootCert certify(const messages::CertBody& body) const {
    messages::RootCert cert;
    cert.body = body;
    for (const std::uint32_t r : {0U, 1U, 2U}) {
      cert.signers |= 1U << r;
      cert.signatures.push_back(
          messages::sign_share(*pool.replicas[members[r]], body, r).signature);
    }
    return cert;
  }
  config::Config next(std::uint32_t slot, std::uint32_t member) const {
    config::Config c = at.config;
    c.epoch += 1;
    c.replicas[slot] = pool.config().replicas[member];
    c.replicas[slot].id = slot;
    return c;
  }
  // Member `member` of the pool takes over `slot`; every signature as it has to be.
  messages::EpochStep replace(std::uint32_t slot, std::uint32_t member) {
    messages::EpochStep step;
    step.next = next(slot, member);
    messages::CertBody last = body(end());
    last.epoch_end_seq = last.seq;
    last.next_config_hash = step.next.hash();
    step.cert = certify(last);
    members[slot] = member;
    const messages::RootCert theirs = certify(last);
    step.cert.next_signers = theirs.signers;
    step.cert.next_signatures = theirs.signatures;
    at.config = step.next;
    return step;
  }
};

}  // namespace

TEST_CASE_FIXTURE(Epochs, "a chain of epochs leads from the genesis to the members of today") {
  Certificates certificates(verifier, cluster.anchor());
  const auto first = certify(body(3));
  REQUIRE(certificates.check(first));
  const std::vector<messages::EpochStep> steps = {replace(3, 4), replace(0, 5), replace(1, 6)};
  const auto now = certify(body(end() - 1));
  CHECK_FALSE(certificates.check(now));  // nobody knows these keys yet
  REQUIRE(certificates.follow(steps));
  CHECK(certificates.check(now).has_value());
  CHECK(certificates.anchor().config == at.config);
  CHECK(certificates.steps() == steps);
  CHECK(certificates.find(30)->body == steps[2].cert.body);
  CHECK(certificates.check(first).has_value());  // it was checked when its keys were good

  SUBCASE("and comes back from a state file, five epochs later too") {
    const std::vector<messages::EpochStep> more = {replace(2, 3), replace(0, 0)};
    REQUIRE(certificates.follow(more));
    Certificates again(verifier, cluster.anchor());
    REQUIRE(again.restore(certificates.save()));
    CHECK(again.steps().size() == 5);
    CHECK(again.anchor().config == at.config);
    CHECK(again.newest_seq() == certificates.newest_seq());
    Bytes touched = certificates.save();
    touched[700] ^= 1;
    Certificates wrong(verifier, cluster.anchor());
    CHECK_FALSE(wrong.restore(touched));
  }
}

TEST_CASE_FIXTURE(Epochs, "what each epoch of a chain is judged by") {
  const TrustAnchor genesis = at;
  const std::vector<messages::EpochStep> steps = {replace(3, 4), replace(0, 5)};
  for (std::uint64_t epoch = 0; epoch <= steps.size(); ++epoch) {
    CAPTURE(epoch);
    const auto found = epoch_at(genesis, steps, epoch);
    REQUIRE(found.has_value());
    CHECK(found->context.cluster_id == genesis.cluster_id);
    CHECK(found->context.epoch == epoch);
    CHECK(found->context.start == kLength * epoch);
    CHECK(found->config == (epoch == 0 ? genesis.config : steps[epoch - 1].next));
  }
  CHECK_FALSE(epoch_at(genesis, steps, 3));
  CHECK_FALSE(epoch_at(genesis, {}, 1));
}

TEST_CASE_FIXTURE(Epochs, "keys of an epoch that is over certify nothing new") {
  Certificates certificates(verifier, cluster.anchor());
  const auto late = certify(body(5));
  REQUIRE(certificates.follow(std::vector{replace(3, 4)}));
  const Status s = certificates.check(late);
  REQUIRE_FALSE(s);
  CHECK(s.error().code == Errc::unverified);
  CHECK(s.error().message.find("epoch 0") != std::string::npos);
}

TEST_CASE_FIXTURE(Epochs, "a chain that is not one is refused as a whole") {
  Certificates certificates(verifier, cluster.anchor());
  std::vector<messages::EpochStep> steps = {replace(3, 4), replace(0, 5)};
  const auto refused = [&] {
    const Status s = certificates.follow(steps);
    return !s && s.error().code == Errc::unverified &&
           certificates.anchor().config == cluster.config() && certificates.steps().empty() &&
           certificates.newest() == nullptr;
  };
  SUBCASE("a link is missing") { steps.erase(steps.begin()); }
  SUBCASE("out of order") { std::swap(steps[0], steps[1]); }
  SUBCASE("the first one twice") { steps[1] = steps[0]; }
  SUBCASE("the second configuration is another one") { steps[1].next.replicas[2].port += 4; }
  SUBCASE("not signed by those who come") {
    steps[1].cert.next_signers = 0;
    steps[1].cert.next_signatures.clear();
  }
  SUBCASE("signed by f + 1 of those who go, as often as they like") {
    steps[1].cert.signatures[2] = steps[1].cert.signatures[1];
  }
  CHECK(refused());
}

TEST_CASE_FIXTURE(Epochs, "a step that no state machine makes is refused, whoever signed it") {
  messages::EpochStep step;
  step.next = next(0, 4);
  step.next.replicas[1] = pool.config().replicas[5];
  step.next.replicas[1].id = 1;
  messages::CertBody last = body(end());
  last.epoch_end_seq = last.seq;
  last.next_config_hash = step.next.hash();
  step.cert = certify(last);
  members = {4, 5, 2, 3};
  const auto theirs = certify(last);
  step.cert.next_signers = theirs.signers;
  step.cert.next_signatures = theirs.signatures;
  Certificates certificates(verifier, cluster.anchor());
  const Status s = certificates.follow(std::vector{step});
  REQUIRE_FALSE(s);
  CHECK(s.error().message.find("at most f = 1") != std::string::npos);
}

TEST_CASE_FIXTURE(Epochs, "two ends of one epoch are two certified roots of one number") {
  Certificates certificates(verifier, cluster.anchor());
  REQUIRE(certificates.check(certify(body(end()))));
  const Status s = certificates.follow(std::vector{replace(3, 4)});
  REQUIRE_FALSE(s);
  CHECK(s.error().message.find("more than 1 faulty") != std::string::npos);
}
