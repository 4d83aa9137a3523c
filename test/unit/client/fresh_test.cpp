// Linearizable reads by FRESH rounds (protocol §6.3), from the client's side: four replicas, one of
// them faulty.
#include <doctest/doctest.h>

#include "fake_cluster.hpp"

using namespace bftmeta;
using namespace bftmeta::client;
using namespace bftmeta::client::testing;
using messages::FreshReply;
using messages::RootCert;
using schema::Code;

namespace {

// This client has seen `old`; another one has completed a write since. Replicas serve reads from
// the oldest root that they may, so that a round which names too low a number is seen.
struct Stale : Harness {
  Stale() {
    execute(make_file("mine"));
    old = cluster.seq();
    all([](Behaviour& b) { b.oldest_root = true; });
    cluster.other_client(make_file("theirs"));
    cluster.items.clear();
    cluster.fresh.clear();
  }
  bool sees_theirs() { return inode(read({path("theirs")}, kLinearizable)) != nullptr; }

  Seq old = 0;
};

// Counts the signatures that are checked.
class CountingVerifier final : public crypto::Verifier {
 public:
  using Verifier::verify;
  bool verify(const PublicKey& key, ByteView preimage, const Signature& s) const override {
    ++count;
    return verifier_.verify(key, preimage, s);
  }
  mutable std::size_t count = 0;

 private:
  crypto::Ed25519Verifier verifier_;
};

}  // namespace

TEST_CASE("linearizable sees what others completed before, without ordering anything") {
  Stale h;
  // Still allowed for a verified read: not older than what this client has seen.
  CHECK(h.read({path("theirs")})->answers.front().code == Code::no_entry);

  const auto r = h.read({path("theirs")}, kLinearizable);
  CHECK(inode(r) != nullptr);
  CHECK(r->seq > h.old);
  CHECK(h.cluster.reads.back().second.min_seq == h.cluster.seq());
  CHECK(h.cluster.fresh.size() == 4);
  CHECK(h.cluster.items.empty());
  CHECK(h.faults.empty());
}

TEST_CASE("the highest of a quorum of answers counts, whoever gave it") {
  Stale h;
  SUBCASE("one replica is behind or lies") { h.cluster.replica(2).fresh_at = h.old; }
  SUBCASE("... or says that nothing was ever certified") {
    h.cluster.replica(2).fresh_lie = [](FreshReply& r) { r.newest = messages::NothingCertified{}; };
  }
  SUBCASE("two are, and answer first") {
    for (const ReplicaId r : {0U, 1U}) h.cluster.replica(r).fresh_at = h.old;
    for (const ReplicaId r : {2U, 3U}) h.cluster.replica(r).delay = 20'000;
  }
  CHECK(h.sees_theirs());
  CHECK(h.cluster.items.empty());
  CHECK(h.faults.empty());
}

TEST_CASE("T1.3 a replica that answers many times counts once, by its link") {
  Stale h;
  h.cluster.replica(1).fresh_at = h.old;
  h.cluster.replica(1).copies = 5;
  h.cluster.replica(2).fresh_at = h.old;
  for (const ReplicaId r : {0U, 3U}) h.cluster.replica(r).delay = 20'000;
  CHECK(h.sees_theirs());
  CHECK(h.cluster.items.empty());
}

TEST_CASE("an answer to another round is no answer") {
  Stale h;
  std::map<ReplicaId, FreshReply> first;
  for (const ReplicaId r : {0U, 1U, 2U}) {
    Behaviour& b = h.cluster.replica(r);
    b.fresh_at = h.old;
    b.fresh_lie = [&first, r](FreshReply& reply) { first.emplace(r, reply); };
  }
  REQUIRE(h.read({path("mine")}, kLinearizable));
  REQUIRE(first.size() >= 3);
  for (const ReplicaId r : {0U, 1U, 2U}) {
    h.cluster.replica(r).fresh_at.reset();
    h.cluster.replica(r).fresh_lie = [&first, r](FreshReply& reply) { reply = first.at(r); };
  }
  CHECK(h.sees_theirs());
  CHECK(h.faults.empty());  // a late answer is no lie
  CHECK(h.cluster.items.size() == 1);
}

TEST_CASE("reads that started before a round share it; later ones do not") {
  Harness h;
  h.execute(make_file("mine"));
  h.all([](Behaviour& b) { b.oldest_root = true; });
  h.cluster.fresh.clear();
  std::vector<std::optional<Result<ReadResult>>> early(30);
  for (auto& r : early) h.begin_read(path("theirs"), kLinearizable, r);
  h.run_for(100);  // the round is under way, its answers are not here yet
  REQUIRE(h.cluster.fresh.size() == 4);
  h.cluster.other_client(make_file("theirs"));
  std::vector<std::optional<Result<ReadResult>>> late(30);
  for (auto& r : late) h.begin_read(path("theirs"), kLinearizable, r);
  const auto done = [](const auto& rs) {
    return std::ranges::all_of(rs, [](const auto& r) { return r.has_value(); });
  };
  REQUIRE(h.run([&] { return done(early) && done(late); }));
  for (const auto& r : late) CHECK(inode(*r) != nullptr);
  CHECK(h.cluster.fresh.size() == 8);
  CHECK(h.cluster.fresh[0].second.nonce != h.cluster.fresh[4].second.nonce);
}

TEST_CASE("T6.5 an answer that does not hold is reported and ignored, the others are enough") {
  Stale h;
  Behaviour& liar = h.cluster.replica(1);
  const auto& keys = h.cluster.keys;
  // Properly signed by the replicas, but not what this client may believe.
  const auto signed_lie = [&](const std::function<void(messages::CertBody&)>& change) {
    liar.fresh_lie = [&, change](FreshReply& r) {
      messages::CertBody body = h.cluster.cert(h.cluster.seq()).body;
      change(body);
      r.newest = keys.certify(body, keys.quorum_bitmap());
    };
  };
  SUBCASE("of another cluster") {
    signed_lie([](auto& body) { body.cluster_id[0] ^= 1; });
  }
  SUBCASE("of another epoch") {
    signed_lie([](auto& body) { body.epoch = 1; });
  }
  SUBCASE("of another configuration") {
    signed_lie([](auto& body) { body.config_hash[0] ^= 1; });
  }
  SUBCASE("of a future configuration") {
    signed_lie([](auto& body) { body.next_config_hash[0] = 1; });
  }
  SUBCASE("with f + 1 signatures") {
    liar.fresh_lie = [&](FreshReply& r) {
      messages::CertBody body = h.cluster.cert(h.cluster.seq()).body;
      body.seq += 1000;
      r.newest = keys.certify(body, 0b11);
    };
  }
  SUBCASE("the digest of a certificate that this client does not hold") {
    liar.fresh_lie = [&](FreshReply& r) {
      r.newest = h.cluster.cert(h.cluster.seq()).body.digest();
    };
  }
  SUBCASE("as a member of another epoch") {
    liar.fresh_lie = [](FreshReply& r) { r.epoch += 1; };
  }
  REQUIRE(liar.fresh_lie);
  liar.delay = 100;  // it is the first
  CHECK(h.sees_theirs());
  REQUIRE(h.faults.size() == 1);
  CHECK(h.faults.front().replica == 1);
  CHECK_FALSE(h.faults.front().evidence.empty());
  CHECK(h.cluster.items.empty());
  // Not heard again for ten minutes, and not reported again.
  CHECK(h.sees_theirs());
  CHECK(h.faults.size() == 1);
  CHECK(h.cluster.reads.back().second.min_seq == h.cluster.seq());
}

TEST_CASE("after two rounds without a quorum the read is ordered") {
  Stale h;
  // One is silent, another holds its answer back, as an idle cluster after a view change may.
  for (const ReplicaId r : {1U, 3U}) h.cluster.replica(r).deaf_to_fresh = true;
  CHECK(h.sees_theirs());
  CHECK(h.cluster.fresh.size() == 8);
  CHECK(h.cluster.items.size() == 1);
  CHECK(h.faults.empty());
  SUBCASE("and the next one tries again") {
    h.cluster.replica(3).deaf_to_fresh = false;
    CHECK(h.sees_theirs());
    CHECK(h.cluster.fresh.size() == 12);
    CHECK(h.cluster.items.size() == 1);
  }
}

TEST_CASE("one replica that is slow or gone costs nothing") {
  Stale h;
  SUBCASE("silent") { h.cluster.replica(3).silent = true; }
  SUBCASE("slow") { h.cluster.replica(3).delay = 200'000; }
  SUBCASE("not connected") { h.cluster.replica(3).connected = false; }
  const Micros before = h.cluster.now.mono;
  REQUIRE(h.read({path("theirs")}, kLinearizable));
  CHECK(h.cluster.now.mono - before < 60'000);  // a hedged read at worst
  CHECK(h.cluster.items.empty());
}

TEST_CASE("a query that a broken connection lost is sent again with the connection") {
  Stale h;
  h.cluster.replica(0).silent = true;
  h.cluster.replica(1).connected = false;
  h.run_for(1'000);
  std::optional<Result<ReadResult>> r;
  h.begin_read(path("theirs"), kLinearizable, r);
  h.run_for(10'000);
  REQUIRE_FALSE(r);
  h.cluster.replica(1).connected = true;
  REQUIRE(h.run([&] { return r.has_value(); }, 100'000));
  CHECK(inode(*r) != nullptr);
  CHECK(h.cluster.items.empty());
}

TEST_CASE("when fewer than a quorum were never caught lying, no round is tried") {
  Stale h;
  for (const ReplicaId r : {1U, 2U})
    h.engine->on_frame(r, to_bytes(std::string_view("garbage")), h.cluster.now);
  CHECK(h.sees_theirs());
  CHECK(h.cluster.fresh.empty());
  CHECK(h.cluster.items.size() == 1);
}

TEST_CASE("genesis: nothing is certified yet, so the first read orders something") {
  Harness h;
  const auto r = h.read({path("")}, kLinearizable);
  REQUIRE(inode(r) != nullptr);
  CHECK(h.cluster.fresh.size() == 4);
  CHECK(h.cluster.fresh[0].second.known_cert == 0);
  CHECK(h.faults.empty());
}

TEST_CASE("a certificate is verified once and travels once") {
  Stale h;
  CountingVerifier counting;
  h.engine = std::make_unique<Engine>(h.options, counting, h.cluster, 7);
  CHECK(h.sees_theirs());
  CHECK(counting.count == h.cluster.keys.config().quorum());
  const Seq known = h.cluster.seq();
  std::size_t digests = 0;
  h.all([&](Behaviour& b) {
    b.fresh_lie = [&](FreshReply& r) { digests += std::holds_alternative<Hash>(r.newest) ? 1 : 0; };
  });
  CHECK(h.sees_theirs());
  CHECK(h.cluster.fresh.back().second.known_cert == known);
  CHECK(digests == 4);
  CHECK(counting.count == h.cluster.keys.config().quorum());
}

TEST_CASE("when nobody answers the read fails in time; closing does not wait for rounds") {
  Stale h;
  h.all([](Behaviour& b) { b.silent = true; });
  const Micros before = h.cluster.now.mono;
  const auto r = h.read({path("mine")}, kLinearizable);
  REQUIRE_FALSE(r);
  CHECK(r.error().code == Errc::unreachable);
  CHECK(h.cluster.now.mono - before < 10'300'000);

  std::optional<Result<ReadResult>> last;
  h.begin_read(path("mine"), kLinearizable, last);
  h.run_for(1'000);
  CHECK_FALSE(h.engine->closed());
  h.engine->fail_all({Errc::unreachable, "closed"}, h.cluster.now);
  h.run_for(0);
  REQUIRE(last);
  CHECK_FALSE(*last);
}

TEST_CASE("the newest root, linearizable, is that of the newest operation of anybody") {
  Stale h;
  std::optional<Result<RootCert>> root;
  h.engine->root(
      kLinearizable, [&](auto r) { root = std::move(r); }, h.cluster.now);
  REQUIRE(h.run([&] { return root.has_value(); }));
  CHECK((*root)->body.seq == h.cluster.seq());
  CHECK(h.cluster.items.empty());
}
