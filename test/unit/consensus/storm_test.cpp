// What one peer may cost: signature checks of what it brings, bytes of what it asks for.
#include "hand.hpp"

using namespace bftmeta;
using namespace bftmeta::consensus;
using namespace bftmeta::consensus::testing;

TEST_CASE("a bucket holds its mean rate, and nothing is too large for ever") {
  Bucket bucket(100, 50);
  std::uint64_t now = 1;
  CHECK(bucket.take(50, now));
  CHECK_FALSE(bucket.take(1, now));
  now += 10'000;  // one unit
  CHECK(bucket.take(1000, now));
  std::uint64_t waited = 0;
  for (; !bucket.open(now); waited += 1'000) now += 1'000;
  CHECK(waited >= 9'990'000);
  CHECK(waited <= 10'030'000);
  now += 3600ULL * 1'000'000'000;  // a link that was quiet for weeks has its burst, no more
  CHECK(bucket.take(50, now));
  CHECK_FALSE(bucket.take(1, now));
}

TEST_CASE("a bucket gains nothing by being asked often") {
  for (const std::uint64_t rate : {3ULL, 1000ULL, 16ULL << 20}) {
    CAPTURE(rate);
    Bucket bucket(rate, 1);
    std::uint64_t now = 1;
    std::uint64_t taken = 0;
    for (; now <= 1'000'000; now += 7)
      for (int i = 0; i < 3; ++i)  // at one time, too
        if (bucket.take(64, now)) taken += 64;
    CHECK(taken <= rate + 1 + 64);
    CHECK(taken + 128 >= std::min<std::uint64_t>(rate, 64 * 142'858));
  }
}

TEST_CASE("bad signatures over a valid link are checked at a capped rate, after all others") {
  Hand h(4, {1});
  const PrePrepare m = h.propose(0, h.batch(1));
  h.send(0, 1, m);
  messages::Prepare bad = h.prepare(3, m.proposal);
  bad.signature[0] ^= 1;
  h.send(3, 1, bad);
  CHECK(h.core(1).distrusted() == 1U << 3);
  h.verifier.checks = 0;
  for (int i = 0; i < 10'000; ++i) h.send(3, 1, bad);
  CHECK(h.verifier.checks == 0);  // they wait for the tick
  h.send(2, 1, h.prepare(2, m.proposal));
  CHECK(h.verifier.checks == 1);  // others do not wait
  for (int tick = 0; tick < 200; ++tick) {
    for (int i = 0; i < 100; ++i) h.send(3, 1, bad);
    h.run(50 * kMs);
  }
  CHECK(h.verifier.checks <= 1 + 11 * limits::kDistrustedVerifyPerSecond);
  // What it brings is still looked at: with 2 gone, its vote is needed.
  const PrePrepare next = h.propose(0, h.batch(2));
  h.send(0, 1, next);
  h.run(500 * kMs);
  h.send(3, 1, h.prepare(3, next.proposal));
  h.run(2 * kSecond);
  CHECK((h.last_status(1)->slots.back().prepares >> 3 & 1) == 1);
}

TEST_CASE("a share of a link that is looked at last makes a certificate that everybody accepts") {
  Hand h(4, {1});
  const PrePrepare m = h.propose(0, h.batch(1));
  h.send(0, 1, m);
  for (const ReplicaId r : {2U, 3U}) h.send(r, 1, h.prepare(r, m.proposal));
  for (const ReplicaId r : {0U, 2U}) h.send(r, 1, messages::Commit{m.proposal});
  h.deliver();
  const auto shares = h.take_outside<messages::RootShare>();
  REQUIRE_FALSE(shares.empty());
  messages::Prepare bad = h.prepare(3, {0, 2, Hash{1}});
  bad.signature[0] ^= 1;
  h.send(0, 1, bad);
  REQUIRE(h.core(1).distrusted() == 1U << 0);
  // Replica 0 is looked at after 1 and 3, and its signature stands before theirs.
  for (const ReplicaId r : {0U, 3U})
    h.send(r, 1, messages::sign_share(h.signer(r), shares[0].body, r));
  REQUIRE(h.core(1).certified_seq() == 1);
  CHECK(messages::verify_cert(h.verifier, h.cluster_id, h.config, *h.core(1).certificate()));
}

TEST_CASE("strategy 32: VIEW-CHANGEs to ever higher views cost their sender's budget only") {
  Hand h(4, {1});
  std::vector<messages::PreparedCert> entries;
  for (Seq s = 1; s <= limits::kWindow; ++s) entries.push_back(h.prepared({0, s, Hash{1}}));
  h.verifier.checks = 0;
  const std::uint64_t begin = h.now_us;
  for (View v = 1; v <= 2'000; ++v) {
    h.send(3, 1, h.view_change(3, v, std::nullopt, entries));
    if (v % 100 == 0) h.run(100 * kMs);
  }
  const std::uint64_t seconds = (h.now_us - begin) / kSecond + 1;
  const std::uint64_t largest = 1 + limits::kWindow * 3;
  CHECK(h.verifier.checks > limits::kVerifyBurst);
  CHECK(h.verifier.checks <= limits::kVerifyBurst + seconds * limits::kVerifyPerSecond + largest);
  CHECK(h.core(1).distrusted() == 0);  // all of them were true
  // Another sender's is looked at all the same.
  h.send(0, 1, h.view_change(0, 1));
  CHECK(h.core(1).view() == 1);
}

TEST_CASE("T8.6 an empty STATUS and fetches at line rate get a capped number of bytes") {
  Hand h(4, {0, 1, 2});
  const Id16 session = h.open_session();
  for (std::uint64_t k = 1; k <= 100; ++k) {
    for (const ReplicaId r : h.live()) h.submit(r, h.bundle(session, k));
    h.deliver();
  }
  REQUIRE(h.executed_by_all(101));
  h.outside.clear();
  // Two thousand questions in each of ten seconds; answers are counted as their bytes.
  const auto ask = [&](const PeerMessage& question) {
    std::uint64_t bytes = 0;
    for (int tick = 0; tick < 100; ++tick) {
      for (int i = 0; i < 200; ++i) h.send(3, 1, question);
      h.run(100 * kMs);
      for (const Mail& m : h.outside) bytes += encoded_size(m.message);
      h.outside.clear();
    }
    return bytes;
  };
  const std::uint64_t cap = limits::kAnswerBurst + 11 * limits::kAnswerBytesPerSecond;
  CHECK(ask(messages::FetchHistory{0}) <= cap);
  CHECK(ask(PeerStatus{}) <= cap);
  CHECK(ask(messages::FetchPrepared{1}) <= cap);
  const std::uint64_t idle = ask(messages::FetchViewChange{Hash{1}});
  CHECK(idle < 1024 * 1024);
  // The others go on.
  for (const ReplicaId r : h.live()) h.submit(r, h.bundle(session, 101));
  CHECK(h.run_until([&] { return h.executed_by_all(102); }, kSecond));
}

TEST_CASE("a peer's answers are paid from its own budget") {
  LinkBudget budget;
  std::uint64_t paid = 0;
  for (std::uint64_t ms = 1; ms <= 10'000; ++ms)
    for (int i = 0; i < 4; ++i)
      if (budget.pay_answer(3, 512 * 1024, ms * 1000)) paid += 512 * 1024;
  CHECK(paid >= 10 * limits::kAnswerBytesPerSecond);
  CHECK(paid <= limits::kAnswerBurst + 10 * limits::kAnswerBytesPerSecond + 512 * 1024);
  CHECK(budget.may_answer(2, 10'000'000));
}
