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
  signed_and_refused([](CertBody& b) { b.epoch_end_seq = 9; });
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
