#include <doctest/doctest.h>

#include <set>

#include "fake_cluster.hpp"
#include "schema/keys.hpp"

using namespace bftmeta;
using namespace bftmeta::client;
using namespace bftmeta::client::testing;
using schema::Code;

namespace {

// Submits `count` files at once; results by index.
struct Burst {
  std::vector<std::optional<Result<schema::OpResult>>> results;
  std::size_t done = 0;

  Burst(Harness& h, std::size_t count, const std::string& prefix) : results(count) {
    for (std::size_t i = 0; i < count; ++i)
      h.engine->submit(
          {root_user(), make_file(prefix + std::to_string(i))},
          [this, i](Result<schema::OpResult> r) {
            CHECK_FALSE(results[i].has_value());
            results[i] = std::move(r);
            ++done;
          },
          0, h.cluster.now);
  }
  bool all_ok() const {
    for (const auto& r : results)
      if (!r || !*r || (*r)->code != Code::ok) return false;
    return true;
  }
};

// Distinct bundles in the order of their first sending.
std::vector<std::size_t> bundle_sizes(const FakeCluster& cluster) {
  std::vector<std::size_t> sizes;
  std::set<Hash> seen;
  for (const auto& sent : cluster.items)
    if (sent.operations > 0 && seen.insert(sent.item.digest()).second)
      sizes.push_back(sent.operations);
  return sizes;
}

void lie_about_results(messages::Reply& reply) {
  auto result = *decode<schema::BundleResult>(reply.results, "result");
  for (auto& r : result.results) r.code = Code::no_space;
  reply.results = encode(result);
}

}  // namespace

TEST_CASE("an operation is executed, certified and answered once") {
  Harness h;
  const auto made = h.execute(make_file("a"));
  REQUIRE(made);
  CHECK(made->code == Code::ok);
  CHECK(made->inode->created);
  const auto again = h.execute(make_file("a"));
  REQUIRE(again);
  CHECK(again->code == Code::exists);
  CHECK(h.engine->certificates().newest_seq() == h.cluster.seq());
  CHECK(h.faults.empty());
}

TEST_CASE("sends at once when idle; what is queued meanwhile becomes the next bundles") {
  Harness h;
  h.execute(make_file("first"));
  const std::size_t before = bundle_sizes(h.cluster).size();
  h.cluster.order = false;
  Burst one(h, 1, "one");
  h.run_for(100);
  Burst many(h, 600, "many");
  h.run_for(5'000);
  auto sizes = bundle_sizes(h.cluster);
  // Full bundles go at once, the rest waits for what is outstanding.
  REQUIRE(sizes.size() == before + 3);
  CHECK(sizes[before] == 1);
  CHECK(sizes[before + 1] == 256);
  CHECK(sizes[before + 2] == 256);
  h.cluster.order = true;
  h.cluster.order_held();
  REQUIRE(h.run([&] { return many.done == 600; }));
  CHECK(one.all_ok());
  CHECK(many.all_ok());
  CHECK(bundle_sizes(h.cluster).back() == 88);
}

TEST_CASE("at most a window of bundles is in flight") {
  Harness h;
  h.execute(make_file("first"));
  const std::size_t before = bundle_sizes(h.cluster).size();
  h.cluster.order = false;
  Burst many(h, 20 * limits::kMaxOpsPerBundle, "f");
  h.run_for(5'000);
  CHECK(bundle_sizes(h.cluster).size() == before + limits::kSessionWindow);
  h.cluster.order = true;
  h.cluster.order_held();
  REQUIRE(h.run([&] { return many.done == many.results.size(); }));
  CHECK(many.all_ok());
}

TEST_CASE("one bundle in sixteen goes to a backup too") {
  Harness h;
  for (int i = 0; i < 40; ++i) h.execute(make_file(std::to_string(i)));
  std::size_t to_backups = 0;
  for (const auto& sent : h.cluster.items)
    if (sent.operations > 0 && sent.to != 0) ++to_backups;
  CHECK(to_backups == 2);
}

TEST_CASE("what is not answered is at every replica 250 ms later, whatever the primary says") {
  for (const bool busy : {false, true}) {
    CAPTURE(busy);
    Harness h;
    h.execute(make_file("first"));
    for (int i = 0; i < 30; ++i) {  // jitter is drawn anew each time
      h.cluster.items.clear();
      h.cluster.replica(0).silent = !busy;
      h.cluster.replica(0).busy = busy;
      for (ReplicaId r = 1; r < 4; ++r) h.cluster.replica(r).deaf_to_items = true;
      Burst one(h, 1, "x" + std::to_string(i));
      h.run_for(251'000);
      std::set<ReplicaId> told;
      for (const auto& sent : h.cluster.items) told.insert(sent.to);
      CHECK(told.size() == 4);
      for (ReplicaId r = 0; r < 4; ++r) h.cluster.replica(r) = {};
      REQUIRE(h.run([&] { return one.done == 1; }));
    }
  }
}

TEST_CASE("an operation that fits no bundle is refused at once") {
  Harness h;
  schema::SetXattr big;
  big.name = to_bytes(std::string_view("user.x"));
  big.value = Bytes(limits::kMaxXattrValue);
  for (int i = 0; i < 64; ++i) big.target.path.push_back({Bytes(limits::kMaxName, 'x')});
  // 64 names and a value stay below the limit; a rename with two paths does not exceed it either.
  CHECK(encoded_size(schema::Operation{root_user(), big}) < Session::max_operation_size());
  schema::CommitData data;
  data.extents.resize(limits::kMaxExtentChanges);
  CHECK(encoded_size(schema::Operation{root_user(), data}) < Session::max_operation_size());
}

TEST_CASE("the same bytes are sent again, to all, until a certified outcome; executed once") {
  Harness h;
  h.execute(make_file("first"));
  h.cluster.items.clear();
  h.cluster.replica(0).silent = true;  // the primary
  Burst one(h, 1, "x");
  h.run_for(1'200'000);
  CHECK(one.done == 0);
  CHECK(h.cluster.items.size() >= 9);  // the primary, then all, with back-off
  CHECK(h.cluster.items.size() <= 29);
  for (const auto& sent : h.cluster.items) CHECK(sent.item == h.cluster.items.front().item);

  h.cluster.view = 1;  // the others have elected replica 1
  REQUIRE(h.run([&] { return one.done == 1; }, 5'000'000));
  CHECK(one.all_ok());
  // From now on it is sent to the new primary at first.
  h.cluster.items.clear();
  REQUIRE(h.execute(make_file("y")));
  CHECK(h.cluster.items.front().to == 1);
  CHECK(h.cluster.items.size() == 1);
}

TEST_CASE("one liar cannot move the client to another primary") {
  Harness h;
  h.execute(make_file("first"));
  messages::StatusReply lie;
  lie.view = 3;
  h.engine->on_frame(2, messages::encode_frame(h.cluster.keys.context, lie), h.cluster.now);
  h.cluster.items.clear();
  REQUIRE(h.execute(make_file("y")));
  CHECK(h.cluster.items.front().to == 0);
}

TEST_CASE("a lost connection to the primary does not cost a time-out") {
  Harness h;
  h.execute(make_file("first"));
  h.cluster.replica(0).connected = false;
  h.cluster.replica(0).silent = true;
  h.cluster.view = 1;
  const Micros before = h.cluster.now.mono;
  REQUIRE(h.execute(make_file("x")));
  CHECK(h.cluster.now.mono - before < 20'000);
}

TEST_CASE("a reply that does not verify is refused, reported, and another replica answers") {
  Harness h;
  h.execute(make_file("first"));
  const auto lie = [&]() -> std::function<void(messages::Reply&)> {
    SUBCASE("results") { return lie_about_results; }
    SUBCASE("certificate") {
      return [](messages::Reply& r) {
        r.cert.signatures[1][5] ^= 1;
        r.cert.body.seq += 1;
      };
    }
    SUBCASE("the reply of another bundle with this number") {
      return [&](messages::Reply& r) {
        const Hash asked = r.request_digest;
        for (const auto& sent : h.cluster.items)
          if (sent.operations == 0) r = h.cluster.reply_to(sent.item.digest());
        r.request_digest = asked;
      };
    }
    return nullptr;
  }();
  if (lie == nullptr) return;
  for (ReplicaId r = 0; r < 4; ++r) h.cluster.replica(r).reply_lie = lie;
  Burst one(h, 1, "x");
  REQUIRE(h.run([&] { return !h.faults.empty(); }));
  CHECK(one.done == 0);
  const Fault fault = h.faults.front();
  CHECK_FALSE(fault.why.empty());
  CHECK_FALSE(fault.evidence.empty());
  for (ReplicaId r = 0; r < 4; ++r)
    if (r != fault.replica) h.cluster.replica(r).reply_lie = nullptr;
  REQUIRE(h.run([&] { return one.done == 1; }));
  CHECK(one.all_ok());
}

TEST_CASE("duplicated replies complete an operation once") {
  Harness h;
  for (ReplicaId r = 0; r < 4; ++r) h.cluster.replica(r).copies = 5;
  Burst burst(h, 100, "d");
  REQUIRE(h.run([&] { return burst.done == 100; }));
  h.run_for(2'000'000);
  CHECK(burst.done == 100);
  CHECK(burst.all_ok());
}

TEST_CASE("a busy primary is given time, then everybody is told") {
  Harness h;
  h.execute(make_file("first"));
  h.cluster.items.clear();
  h.cluster.replica(0).busy = true;
  Burst burst(h, 3, "b");
  h.run_for(15'000);
  CHECK(h.cluster.items.size() == 1);
  h.run_for(30'000);
  CHECK(h.cluster.items.size() == 2);
  CHECK(h.cluster.items.back().to == 0);
  h.cluster.replica(0).busy = false;
  REQUIRE(h.run([&] { return burst.done == 3; }, 1'000'000));
  CHECK(burst.all_ok());
}

TEST_CASE("without a quorum the caller gets an error in time, and the outcome is not lost") {
  Harness h;
  h.execute(make_file("first"));
  h.cluster.order = false;
  const Micros before = h.cluster.now.mono;
  const auto late = h.execute(make_file("late"));
  REQUIRE_FALSE(late);
  CHECK(late.error().code == Errc::unreachable);
  CHECK(late.error().message.find("may still happen") != std::string::npos);
  CHECK(h.cluster.now.mono - before >= 10'000'000);
  CHECK(h.cluster.now.mono - before < 10'300'000);
  h.cluster.order = true;
  h.cluster.order_held();
  const auto again = h.execute(make_file("late"));
  REQUIRE(again);
  CHECK(again->code == Code::exists);
}

TEST_CASE("what was never sent will not happen, and the error says so") {
  Harness h;
  for (ReplicaId r = 0; r < 4; ++r) h.cluster.replica(r).silent = true;
  const auto r = h.execute(make_file("x"));
  REQUIRE_FALSE(r);
  CHECK(r.error().message.find("will not happen") != std::string::npos);
}

TEST_CASE("a result that no reply brings comes from the certified session record") {
  Harness h;
  h.execute(make_file("first"));
  for (ReplicaId r = 0; r < 4; ++r) h.cluster.replica(r).mute_replies = true;
  const auto made = h.execute(make_file("x"));
  REQUIRE(made);
  CHECK(made->code == Code::ok);
  CHECK(made->inode->created);
}

TEST_CASE("a result too large for the record comes from a replica that has it, or is lost soon") {
  Harness h;
  h.execute(make_file("first"));
  h.all([](Behaviour& b) { b.forgetful = true; });
  const Micros before = h.cluster.now.mono;
  SUBCASE("one of them has it, and is slow") {
    for (ReplicaId r = 0; r < 4; ++r) {
      CAPTURE(r);
      h.all([](Behaviour& b) {
        b.forgetful = true;
        b.delay = 500;
      });
      h.cluster.replica(r).forgetful = false;
      h.cluster.replica(r).delay = 400'000;
      Burst burst(h, 100, "x" + std::to_string(r));
      REQUIRE(h.run([&] { return burst.done == 100; }));
      CHECK(burst.all_ok());
    }
  }
  SUBCASE("nobody has it") {
    Burst burst(h, 100, "x");
    REQUIRE(h.run([&] { return burst.done == 100; }));
    CHECK((*burst.results[0]).error().code == Errc::stale);
    CHECK(h.cluster.now.mono - before < 2'000'000);
  }
  SUBCASE("who might have it is silent") {
    h.cluster.replica(1).silent = true;
    h.cluster.replica(2).silent = true;
    Burst burst(h, 100, "x");
    REQUIRE(h.run([&] { return burst.done == 100; }));
    CHECK((*burst.results[0]).error().code == Errc::stale);
    CHECK(h.cluster.now.mono - before < 10'000'000);
  }
  CHECK(h.faults.empty());
}

TEST_CASE("an idle session is kept alive at most every 20 s") {
  Harness h;
  h.execute(make_file("first"));
  h.cluster.items.clear();
  h.run_for(130'000'000);
  CHECK(h.cluster.items.size() >= 5);
  CHECK(h.cluster.items.size() <= 7);
  for (const auto& sent : h.cluster.items) CHECK(sent.operations == 1);
}

TEST_CASE("a session that expired while the machine slept costs no operation") {
  Harness h;
  h.execute(make_file("first"));
  h.cluster.items.clear();
  h.cluster.pass_time(100'000'000);
  Burst burst(h, 5, "woken");
  REQUIRE(h.run([&] { return burst.done == 5; }));
  CHECK(burst.all_ok());
  std::size_t opens = 0;
  for (const auto& sent : h.cluster.items) opens += sent.operations == 0 ? 1 : 0;
  CHECK(opens >= 1);
}

TEST_CASE("what was in flight when the session expired is answered from the tombstone") {
  Harness h([](Options& o) { o.timeout = std::chrono::milliseconds(400'000); });
  h.execute(make_file("first"));
  bool executed = false;
  SUBCASE("executed: the result is gone") { executed = true; }
  SUBCASE("not executed: it will not happen") {}
  for (ReplicaId r = 0; r < 4; ++r) {
    h.cluster.replica(r).mute_replies = true;
    h.cluster.replica(r).deaf_to_items = !executed;
  }
  std::optional<Result<schema::OpResult>> result;
  h.engine->submit(
      {root_user(), make_file("x")}, [&](Result<schema::OpResult> r) { result = std::move(r); }, 0,
      h.cluster.now);
  h.engine->poll(h.cluster.now);
  h.cluster.pass_time(100'000'000);
  for (ReplicaId r = 0; r < 4; ++r) h.cluster.replica(r).deaf_to_items = false;
  REQUIRE(h.run([&] { return result.has_value(); }));
  for (ReplicaId r = 0; r < 4; ++r) h.cluster.replica(r) = {};
  REQUIRE_FALSE(*result);
  CHECK(result->error().code == Errc::stale);
  CHECK((result->error().message.find("was executed") != std::string::npos) == executed);
  CHECK((result->error().message.find("will not happen") != std::string::npos) == !executed);
  // Nothing was replayed, and the client goes on.
  const auto again = h.execute(make_file("x"));
  REQUIRE(again);
  CHECK(again->code == (executed ? Code::exists : Code::ok));
}

TEST_CASE("one replica's word that the session is gone changes nothing") {
  Harness h;
  h.execute(make_file("first"));
  h.cluster.order = false;
  Burst one(h, 1, "x");
  h.run_for(100);
  const messages::Refusal lie{h.cluster.items.back().item.digest(),
                              messages::RefusalReason::no_session, 0};
  h.engine->on_frame(1, messages::encode_frame(h.cluster.keys.context, lie), h.cluster.now);
  h.run_for(10'000);
  h.cluster.order = true;
  h.cluster.order_held();
  REQUIRE(h.run([&] { return one.done == 1; }));
  CHECK(one.all_ok());
}

TEST_CASE("several sessions are independent streams") {
  Harness h([](Options& o) { o.sessions = 3; });
  h.engine->open_sessions();
  REQUIRE(h.run([&] { return h.engine->ready(); }));
  std::size_t done = 0;
  for (std::uint32_t i = 0; i < 30; ++i)
    h.engine->submit(
        {root_user(), make_file("s" + std::to_string(i))},
        [&](Result<schema::OpResult> r) {
          CHECK(r->code == Code::ok);
          ++done;
        },
        i, h.cluster.now);
  REQUIRE(h.run([&] { return done == 30; }));
  std::set<Id16> sessions;
  for (const auto& sent : h.cluster.items)
    if (sent.operations > 0) sessions.insert(messages::parse_item(sent.item)->bundle()->session_id);
  CHECK(sessions.size() == 3);
}

TEST_CASE("closing finishes what is outstanding and ends the session") {
  Harness h;
  Burst burst(h, 10, "c");
  h.run_for(10);
  h.engine->close();
  REQUIRE(h.run([&] { return h.engine->closed(); }));
  CHECK(burst.done == 10);
  CHECK(burst.all_ok());
  const auto counters = h.cluster.version(h.cluster.seq()).read(schema::keys::counters());
  REQUIRE(counters);
  CHECK(schema::decode_record<schema::Counters>(**counters, "counters")->sessions == 0);
}

TEST_CASE("the answer to the closing is lost, and who is read from stands still before it") {
  Harness h;
  h.execute(make_file("first"));
  const Seq before = h.cluster.seq();
  for (ReplicaId r = 0; r < 4; ++r) h.cluster.replica(r).mute_replies = true;
  // One replica, whichever this client prefers to read from, never certifies more: slow or lying.
  REQUIRE(h.read({path("first")}));
  const ReplicaId reader = h.cluster.reads.back().first;
  h.cluster.replica(reader).reads_at = before;
  h.engine->close();
  REQUIRE(h.run([&] { return h.engine->closed(); }, 10'000'000));
  CHECK(h.cluster.seq() == before + 1);
  CHECK(h.faults.empty());
}

TEST_CASE("a client whose link key more than f replicas refuse is told so") {
  Harness h;
  for (ReplicaId r = 0; r < 4; ++r) h.cluster.replica(r).connected = false;
  h.cluster.refused_by = bit(0);
  Errc expected = Errc::unreachable;  // one may lie
  SUBCASE("one") {}
  SUBCASE("two") {
    h.cluster.refused_by |= bit(3);
    expected = Errc::permission;
  }
  const auto made = h.execute(make_file("x"));
  REQUIRE_FALSE(made);
  CHECK(made.error().code == expected);
  CHECK(made.error().message.find("will not happen") != std::string::npos);
  const auto read = h.read({path("x")});
  REQUIRE_FALSE(read);
  CHECK(read.error().code == expected);
  CHECK((read.error().message.find("refuse the link key") != std::string::npos) ==
        (expected == Errc::permission));
}

TEST_CASE("a client whose sign key is not registered is told so, at once") {
  Harness h([](Options& o) { o.signer = test::test_signer("stranger"); });
  const Micros before = h.cluster.now.mono;
  std::string expected = "3 of 4 replicas do not know the sign key";
  SUBCASE("by the refusals of 2f + 1 replicas") {}
  SUBCASE("one of them says nothing") { h.cluster.replica(0).silent = true; }
  SUBCASE("by a certified answer, when a primary orders it all the same") {
    h.cluster.admit_strangers = true;
    expected = "refused to open one";
  }
  const auto r = h.execute(make_file("x"));
  REQUIRE_FALSE(r);
  CHECK(r.error().code == Errc::permission);
  CHECK(r.error().message.find(expected) != std::string::npos);
  CHECK(h.cluster.now.mono - before < 1'000'000);
  REQUIRE(h.engine->refusal().has_value());
  CHECK(h.engine->refusal()->code == Errc::permission);
}

TEST_CASE("f liars and f laggards do not tell a registered client that it is a stranger") {
  Harness h;
  h.engine->open_sessions();
  h.cluster.order = false;
  h.run_for(100);
  const auto open = h.cluster.items.back().item.digest();
  for (const ReplicaId r : {2U, 3U}) {
    const messages::Refusal refusal{open, messages::RefusalReason::no_session, 0};
    h.engine->on_frame(r, messages::encode_frame(h.cluster.keys.context, refusal), h.cluster.now);
    h.engine->on_frame(r, messages::encode_frame(h.cluster.keys.context, refusal), h.cluster.now);
  }
  Burst one(h, 1, "x");
  h.run_for(100'000);
  CHECK(one.done == 0);
  CHECK_FALSE(h.engine->refusal().has_value());
  h.cluster.order = true;
  h.cluster.order_held();
  REQUIRE(h.run([&] { return one.done == 1; }));
  CHECK(one.all_ok());
}

TEST_CASE("a stranger that is registered later gets in") {
  Harness h([](Options& o) { o.signer = test::test_signer("client 2"); });
  test::Cluster three(4, 3);  // so that the key exists; the cluster does not know it yet
  REQUIRE_FALSE(h.execute(make_file("x")));
  schema::RegisterClient add;
  add.body.client = three.genesis.clients[2];
  add.body.valid_until_us = h.cluster.now.wall + 60'000'000;
  add.signatures.push_back(
      {0, h.cluster.keys.admin->sign(tags::kAdmin, {h.cluster.keys.genesis.cluster_id(), 0},
                                     encode(add.body))});
  REQUIRE(h.cluster.other_client(add).results.at(0).code == Code::ok);
  const auto made = h.execute(make_file("x"));
  REQUIRE_MESSAGE(made, made.error().message);
  CHECK(made->code == Code::ok);
  CHECK_FALSE(h.engine->refusal().has_value());
}
