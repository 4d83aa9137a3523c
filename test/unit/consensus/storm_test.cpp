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

namespace {

Batch large_batch(const Hand& h, Seq seq) {
  return h.batch(seq, large_items(*h.client, h.cluster_id, seq));
}

std::size_t holding(const Core& core, std::string_view what) {
  for (const Core::Holding& h : core.holdings())
    if (h.what == what) {
      CHECK(h.count <= h.bound);
      return h.count;
    }
  FAIL("no such holding");
  return 0;
}

}  // namespace

TEST_CASE("batches that wait for their execution are bounded in bytes; the next one always fits") {
  constexpr Seq kLast = 48;
  Hand h(4, {1});
  std::vector<PrePrepare> proposals;
  for (Seq s = 1; s <= kLast; ++s) proposals.push_back(h.propose(0, large_batch(h, s)));
  const std::size_t size = encoded_size(proposals[0].batch);
  REQUIRE(kLast * size > limits::kMaxWaitingBytes);
  const std::size_t most = limits::kMaxWaitingBytes / size;
  const auto lacks = [&](Seq seq) {  // as STATUS says it
    h.run(200 * kMs);
    const auto status = h.last_status(1);
    for (const messages::SlotStatus& row : status->slots)
      if (row.seq == seq) return !row.proposal;
    return true;
  };
  SUBCASE("upwards") {
    for (const PrePrepare& m : proposals) h.send(0, 1, m);
  }
  SUBCASE("downwards: lower numbers push the highest out") {
    for (auto m = proposals.rbegin(); m != proposals.rend(); ++m) h.send(0, 1, *m);
  }
  CHECK(holding(h.core(1), "bytes of batches that wait") == most * size);
  CHECK_FALSE(lacks(1));
  CHECK_FALSE(lacks(most));
  CHECK(lacks(most + 1));
  CHECK(lacks(kLast));
  // What was refused is taken when it comes again and there is room: everything is executed.
  for (const PrePrepare& m : proposals) {
    h.send(0, 1, m);
    for (const ReplicaId r : {2U, 3U}) h.send(r, 1, h.prepare(r, m.proposal));
    for (const ReplicaId r : {0U, 2U}) h.send(r, 1, messages::Commit{m.proposal});
    CHECK(h.machine(1).executed_seq() == m.proposal.seq);
    holding(h.core(1), "bytes of batches that wait");
  }
  CHECK(holding(h.core(1), "bytes of batches that wait") == 0);
}

TEST_CASE("a primary that proposes more than there is room for stops nobody") {
  Hand h(4, {1, 2, 3});
  for (Seq s = 1; s <= 40; ++s) {
    const PrePrepare m = h.propose(0, large_batch(h, s));
    for (const ReplicaId r : h.live()) h.send(0, r, m);
  }
  for (const ReplicaId r : h.live()) holding(h.core(r), "bytes of batches that wait");
  CHECK(h.run_until([&] { return h.executed_by_all(32); }, 5 * kSecond));
  // The rest is with nobody: the next view is without it.
  for (const ReplicaId r : h.live()) h.submit(r, h.open());
  CHECK(h.run_until([&] { return h.common_view() == View{1} && h.executed_by_all(33); },
                    20 * kSecond));
  CHECK(h.halted.empty());
}

TEST_CASE("what O re-proposes is bounded in bytes too, and comes again from logs and peers") {
  Hand h(4, {1, 2, 3});
  h.pass = [](const Mail& m) { return !m.get<messages::Commit>(); };
  std::vector<PrePrepare> proposals;
  for (Seq s = 1; s <= 48; ++s) {
    // As many as fit are prepared and not executed, then more with these pushed out.
    proposals.push_back(h.propose(0, large_batch(h, s)));
    for (const ReplicaId r : h.live()) h.send(0, r, proposals.back());
    h.deliver();
  }
  h.run(500 * kMs);
  for (const ReplicaId r : h.live()) {
    h.crash(r);
    h.restart(r);
    holding(h.core(r), "bytes of batches that wait");
  }
  h.pass = nullptr;
  h.send(0, 1, h.view_change(0, 1));
  CHECK(h.run_until([&] { return h.common_view() == View{1} && h.executed_by_all(32); },
                    20 * kSecond));
  for (const ReplicaId r : h.live()) holding(h.core(r), "bytes of batches that wait");
  CHECK(h.halted.empty());
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

TEST_CASE("T8.6 a STATUS that lacks everything, all the time, gets a capped number of bytes") {
  for (const bool large : {true, false}) {
    CAPTURE(large);
    // Alone it stays in its view, and nothing becomes committed: all of it is missing in each of
    // these STATUS.
    Hand h(4, {1});
    const Seq last = large ? 16 : limits::kWindow;
    for (Seq s = 1; s <= last; ++s) {
      const PrePrepare m = h.propose(0, large ? large_batch(h, s) : h.batch(s));
      for (const ReplicaId r : h.live()) h.send(0, r, m);
    }
    h.run(100 * kMs);
    h.outside.clear();
    PeerStatus lacks;
    lacks.active = true;
    std::uint64_t bytes = 0;
    std::uint64_t bodies = 0;
    std::uint64_t votes = 0;
    constexpr std::uint64_t kSeconds = 10;
    for (int i = 0; i < 40 * static_cast<int>(kSeconds); ++i) {
      h.send(3, 1, lacks);
      h.run(25 * kMs);
      for (const Mail& m : h.outside) {
        if (m.from != 1 || m.to != 3 || m.get<PeerStatus>()) continue;
        bytes += encoded_size(m.message);
        if (m.get<PrePrepare>()) ++bodies;
        if (m.get<messages::Prepare>()) ++votes;
      }
      h.outside.clear();
    }
    CHECK(bytes <=
          limits::kRepeatBurst + kSeconds * limits::kRepeatBytesPerSecond + limits::kMaxFrame);
    CHECK(bodies >= (large ? 8U : 4 * last));  // it is not refused either
    CHECK(votes >= 4 * last);
  }
}

TEST_CASE("a replica that was away is not slowed down by what a faulty one may draw") {
  Hand h(4);
  const Id16 session = h.open_session();
  h.pass = [](const Mail& m) { return m.from != 3 && m.to != 3; };
  schema::SetXattr set;
  set.name = to_bytes("user.k");
  set.value = Bytes(limits::kMaxXattrValue);
  std::uint64_t number = 0;
  for (int i = 0; i < 24 * 8; ++i) {  // 12 MiB
    const messages::Item item =
        h.bundle_of(session, ++number, std::vector<schema::Operation>(15, {{}, set}));
    for (const ReplicaId r : {0U, 1U, 2U}) h.submit(r, item);
    h.deliver();
  }
  REQUIRE(h.machine(0).last_bundle(session) == number);
  h.run(5 * kSecond);
  h.pass = nullptr;
  CHECK(h.run_until([&] { return h.machine(3).last_bundle(session) == number; }, 2 * kSecond));
  CHECK(
      h.run_until([&] { return h.core(3).certified_seq() == h.core(0).certified_seq(); }, kSecond));
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
