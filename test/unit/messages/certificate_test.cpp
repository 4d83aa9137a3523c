// What a certificate must be (T4.4): exactly a quorum of distinct members over the very bytes.
#include <doctest/doctest.h>

#include <bit>

#include "messages/client.hpp"
#include "samples.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
using namespace bftmeta::messages;

namespace {

struct Certificates {
  Cluster c{4};
  RootCert good = c.certify(sample_body(c, 6), c.quorum_bitmap());
  bool holds(const RootCert& cert) const {
    return verify_cert(c.verifier, c.context.cluster_id, c.config(), cert).has_value();
  }
};

}  // namespace

TEST_CASE("every subset of signers: exactly Q members make a certificate") {
  for (const std::uint32_t n : {4U, 7U}) {
    const Cluster c(n);
    const CertBody body = sample_body(c, 6);
    for (std::uint32_t bits = 0; bits < (1U << n); ++bits) {
      const bool expected = std::popcount(bits) == static_cast<int>(c.config().quorum());
      const auto verdict =
          verify_cert(c.verifier, c.context.cluster_id, c.config(), c.certify(body, bits));
      if (verdict.has_value() != expected) FAIL("n=", n, " signers=", bits);
    }
  }
}

TEST_CASE_FIXTURE(Certificates, "signers and signatures have to match") {
  REQUIRE(holds(good));
  RootCert x = good;
  x.signatures[1] = x.signatures[0];  // one signer twice
  CHECK_FALSE(holds(x));
  x = good;
  std::swap(x.signatures[0], x.signatures[1]);  // not in replica order
  CHECK_FALSE(holds(x));
  x = good;
  x.signatures.pop_back();
  CHECK_FALSE(holds(x));
  x = good;
  x.signatures.push_back(x.signatures[0]);
  CHECK_FALSE(holds(x));
  x = good;
  x.signers = 0b1011;  // claims replica 3 instead of 2
  CHECK_FALSE(holds(x));
  x = good;
  x.signers |= 1U << 4;  // a member that does not exist
  CHECK_FALSE(holds(x));
  x = good;
  x.signers |= 1U << 31;
  CHECK_FALSE(holds(x));
  x = good;
  x.signatures[2] = sign_share(*test_signer("stranger"), x.body, 2).signature;
  CHECK_FALSE(holds(x));
  x = good;
  x.signatures[0][40] ^= 1;
  CHECK_FALSE(holds(x));
}

TEST_CASE_FIXTURE(Certificates, "every byte of the body is signed") {
  const Bytes encoded = encode(good.body);
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    Bytes changed = encoded;
    changed[i] ^= 0x10;
    RootCert x = good;
    auto body = decode<CertBody>(changed, "body");
    REQUIRE(body.has_value());
    x.body = *body;
    CHECK_FALSE(holds(x));
  }
}

TEST_CASE_FIXTURE(Certificates, "well signed, but not of this cluster, configuration or version") {
  const auto signed_and_refused = [&](const auto& change) {
    CertBody body = good.body;
    change(body);
    CHECK_FALSE(holds(c.certify(body, c.quorum_bitmap())));
  };
  signed_and_refused([](CertBody& b) { b.cluster_id[0] ^= 1; });
  signed_and_refused([](CertBody& b) { b.epoch = 1; });
  signed_and_refused([](CertBody& b) { b.config_hash[0] ^= 1; });
  signed_and_refused([](CertBody& b) { b.next_config_hash[0] = 1; });
  signed_and_refused([](CertBody& b) { b.epoch_end_seq = 6; });
  signed_and_refused([](CertBody& b) { b.epoch_end_seq = 5; });
  signed_and_refused([](CertBody& b) { b.seq = 0; });
  signed_and_refused([](CertBody& b) { b.sm_version += 1; });

  RootCert x = good;
  x.next_signers = x.signers;
  x.next_signatures = x.signatures;
  CHECK_FALSE(holds(x));
  x = good;
  x.next_signatures.push_back({});
  CHECK_FALSE(holds(x));

  Cluster other(4);
  other.genesis.config.replicas[3].port += 4;  // same keys, another configuration
  CHECK_FALSE(verify_cert(c.verifier, c.context.cluster_id, other.config(), good).has_value());
}

TEST_CASE_FIXTURE(Certificates, "a share is its replica's alone") {
  const RootShare share = sign_share(*c.replicas[1], good.body, 1);
  CHECK(verify_share(c.verifier, c.config(), share));
  for (const ReplicaId r : {0U, 2U, 3U, 4U, 31U}) {
    RootShare x = share;
    x.replica = r;
    CHECK_FALSE(verify_share(c.verifier, c.config(), x));
  }
  RootShare x = share;
  x.body.state_root[0] ^= 1;
  CHECK_FALSE(verify_share(c.verifier, c.config(), x));
}

TEST_CASE("history: hash chain and domains") {
  const Cluster c(4);
  const Hash start = history_start(c.context.cluster_id);
  const Hash one = extend_history(start, sample_header(1));
  CHECK(one != extend_history(start, sample_header(2)));
  CHECK(extend_history(one, sample_header(2)) != extend_history(start, sample_header(2)));
  CHECK(history_start(pattern(1)) != start);
  CHECK(history_node(pattern(1), pattern(2)) != reply_node(pattern(1), pattern(2)));
  CHECK(history_node(pattern(1), pattern(2)) != history_node(pattern(2), pattern(1)));
}

namespace {

// Epoch 0 of the first four of seven replicas, which ends with all seven.
struct EpochEnd {
  Cluster four{4};
  Cluster seven{7};
  CertBody body = sample_body(four, 6);
  config::Config next = seven.config();

  EpochEnd() {
    next.epoch = 1;
    body.epoch_end_seq = 6;
    body.next_config_hash = next.hash();
  }
  RootCert joint(std::uint32_t signers = 0b0111, std::uint32_t next_signers = 0b1110011) const {
    return four.certify_jointly(body, signers, seven, next_signers);
  }
  bool holds(const RootCert& cert) const {
    return verify_joint_cert(four.verifier, four.context.cluster_id, four.config(), next, cert)
        .has_value();
  }
  bool holds_alone(const RootCert& cert) const {
    return verify_cert(four.verifier, four.context.cluster_id, four.config(), cert).has_value();
  }
};

}  // namespace

TEST_CASE_FIXTURE(EpochEnd, "the old members' signatures suffice for what the last batch did") {
  CHECK(holds_alone(plain(joint())));
  CHECK_FALSE(holds_alone(joint()));  // unverified signatures are nobody's to pass on
  body.seq = 5;
  body.next_config_hash = {};
  CHECK(holds_alone(four.certify(body, 0b0111)));  // scheduled, and not there yet
}

TEST_CASE_FIXTURE(EpochEnd, "an epoch ends by a quorum of both configurations, each of its own") {
  CHECK(holds(joint()));
  CHECK_FALSE(holds(plain(joint())));
  for (std::uint32_t bits = 0; bits < 1U << 7; ++bits)
    if (holds(joint(0b0111, bits)) != (std::popcount(bits) == 5)) FAIL("next signers ", bits);
  for (std::uint32_t bits = 0; bits < 1U << 4; ++bits)
    if (holds(joint(bits)) != (std::popcount(bits) == 3)) FAIL("signers ", bits);
  RootCert x = joint();
  x.next_signatures[4] = x.next_signatures[3];
  CHECK_FALSE(holds(x));
  x = joint();
  std::swap(x.signatures, x.next_signatures);
  std::swap(x.signers, x.next_signers);
  CHECK_FALSE(holds(x));
  x = joint();
  x.next_signers |= 1U << 7;
  CHECK_FALSE(holds(x));
}

TEST_CASE_FIXTURE(EpochEnd, "a joint certificate is of this end and of this next configuration") {
  config::Config other = next;
  other.replicas[6].port += 4;
  std::swap(other, next);
  CHECK_FALSE(holds(joint()));
  std::swap(other, next);
  next.epoch = 2;
  body.next_config_hash = next.hash();
  CHECK_FALSE(holds(joint()));
  next.epoch = 1;
  body.next_config_hash = {};
  body.epoch_end_seq = 0;
  CHECK_FALSE(holds(joint()));
}
