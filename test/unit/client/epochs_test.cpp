// A client of a cluster whose members change (protocol §9.3): led from epoch to epoch by chains
// that prove themselves, with everything under way going on.
#include <doctest/doctest.h>

#include "fake_cluster.hpp"
#include "verify/proof_file.hpp"

using namespace bftmeta;
using namespace bftmeta::client;
using namespace bftmeta::client::testing;
using schema::Code;

namespace {

struct Epochs : Harness {
  using Harness::Harness;

  void submit(const std::string& name, std::optional<Result<schema::OpResult>>& result) {
    engine->submit(
        {root_user(), make_file(name)},
        [&result](Result<schema::OpResult> r) {
          REQUIRE_FALSE(result);
          result = std::move(r);
        },
        0, cluster.now);
  }
  bool works(const std::string& name) {
    const auto made = execute(make_file(name));
    return made && made->code == Code::ok && inode(read({path(name)})) != nullptr &&
           inode(read({path(name)}, kLinearizable)) != nullptr;
  }
  void restart(ByteView state) {
    engine = std::make_unique<Engine>(options, cluster.keys.verifier, cluster, 7);
    cluster.follow(options.genesis.config);
    REQUIRE(engine->restore(state, cluster.now));
  }
  // What a forger would have the client go on with, if `keys` stood for the members at their
  // positions: one of the next members at an address of its own. Only these signatures are wrong.
  void forge(messages::EpochStep& step, const std::map<ReplicaId, ReplicaId>& key_at) {
    step.next.replicas[1].link_key[0] ^= 1;
    step.cert.body.next_config_hash = step.next.hash();
    step.cert.signers = 0;
    step.cert.signatures.clear();
    const auto sign = [&](ReplicaId key, ReplicaId position) {
      return messages::sign_share(*cluster.pool.replicas[key], step.cert.body, position).signature;
    };
    for (const auto& [position, key] : key_at) {
      step.cert.signers |= 1U << position;
      step.cert.signatures.push_back(sign(key, position));
    }
    step.cert.next_signers = 0b0111;
    step.cert.next_signatures.clear();
    for (ReplicaId position = 0; position < 3; ++position)
      step.cert.next_signatures.push_back(
          sign(*config::position_of(cluster.pool.config(), step.next.replicas[position].vote_key),
               position));
  }
  // The same members; one of them at another address.
  void readdress() {
    std::vector<ReplicaId> members;
    for (ReplicaId r = 0; r < 4; ++r) members.push_back(r);
    config::Config next = cluster.next_config(members);
    next.replicas[3].port = static_cast<std::uint16_t>(30'000 + 4 * next.epoch);
    cluster.schedule(next);
    cluster.finish_epoch();
  }
};

}  // namespace

TEST_CASE_FIXTURE(Epochs, "a client goes on with the members of the next epoch") {
  REQUIRE(works("before"));
  cluster.move_to({0, 1, 2, 4});
  CHECK(inode(read({path("before")})) != nullptr);
  CHECK(engine->config() == cluster.steps().back().next);
  // It has asked somebody there for the answers of its session: nothing is sent twice for it.
  cluster.items.clear();
  REQUIRE(execute(make_file("after the read")));
  CHECK(cluster.items.size() == 1);
  REQUIRE(works("after"));
  CHECK(engine->certificates().steps() == cluster.steps());
  // One chain was believed; what the others said came too late to be looked at.
  CHECK(cluster.epochs_sent >= 1);
  CHECK(faults.empty());
  cluster.reads.clear();
  cluster.replica(0).silent = true;  // a quorum needs the new one
  REQUIRE(works("without one of the old"));
  CHECK(std::ranges::none_of(cluster.reads, [](const auto& r) { return r.first == 3; }));
}

TEST_CASE_FIXTURE(Epochs, "what is in flight at the end of an epoch is executed once") {
  REQUIRE(works("before"));
  std::optional<Result<schema::OpResult>> result;
  const std::size_t home = cluster.items.size();
  SUBCASE("it was not ordered yet") {
    cluster.order = false;
    submit("x", result);
    run_for(1000);
    cluster.order = true;
    cluster.move_to({4, 1, 2, 3});
  }
  SUBCASE("it was executed, but nobody said so") {
    all([](Behaviour& b) { b.mute_replies = true; });
    submit("x", result);
    run_for(1000);
    cluster.move_to({4, 1, 2, 3});
    all([](Behaviour& b) { b.mute_replies = false; });
    SUBCASE("and the next epoch has certified something") { cluster.execute({}); }
    SUBCASE("and it has not") {}
  }
  SUBCASE("its answer is under way") {
    all([](Behaviour& b) { b.delay = 5000; });
    submit("x", result);
    run_for(1000);
    cluster.move_to({4, 1, 2, 3});
  }
  engine->on_connected(1);  // any question leads on, and what is in flight follows at once
  REQUIRE(run([&] { return result.has_value(); }, 15'000));
  REQUIRE_MESSAGE(*result, result->error().message);
  CHECK((*result)->code == Code::ok);
  CHECK(execute(make_file("x"))->code == Code::exists);
  CHECK(works("after"));
  CHECK(faults.empty());
  CHECK(cluster.items.size() > home);
}

TEST_CASE_FIXTURE(Epochs, "a session that is being opened at the end of an epoch is opened") {
  std::optional<Result<schema::OpResult>> result;
  cluster.order = false;
  submit("x", result);
  run_for(1000);
  cluster.order = true;
  cluster.move_to({4, 1, 2, 3});
  REQUIRE(run([&] { return result.has_value(); }, 5'000'000));
  CHECK((*result)->code == Code::ok);
  CHECK(faults.empty());
}

TEST_CASE_FIXTURE(Epochs, "a read whose replica is no member any more is asked again") {
  REQUIRE(works("before"));
  all([](Behaviour& b) { b.silent = true; });
  std::vector<std::optional<Result<ReadResult>>> results(3);
  for (auto& r : results) begin_read(path("before"), ReadMode::verified, r);
  run_for(1000);
  REQUIRE(cluster.reads.size() > 1);
  const ReplicaId asked = cluster.reads.back().first;
  std::vector<ReplicaId> next{0, 1, 2, 3};
  next[asked] = 5;
  cluster.move_to(next);
  all([](Behaviour& b) { b.silent = false; });
  engine->on_connected(0);  // any question leads on
  // At once: not when the question before has timed out.
  REQUIRE(run([&] { return std::ranges::all_of(results, [](auto& r) { return r.has_value(); }); },
              20'000));
  for (const auto& r : results) CHECK(inode(*r) != nullptr);
  CHECK(cluster.reads.back().first != asked);
  CHECK(faults.empty());
}

TEST_CASE_FIXTURE(Epochs, "4 -> 7 -> 4: nobody is asked by a number that is not there") {
  REQUIRE(works("before"));
  const std::vector<std::vector<ReplicaId>> moves = {
      {0, 1, 2, 3, 4, 5, 6}, {6, 5, 1, 3}, {6, 5, 1, 3, 7, 8, 9}, {9, 8, 7, 6}};
  for (const auto& members : moves) {
    CAPTURE(cluster.epoch());
    const ReplicaId last = engine->config().n() - 1;
    all([](Behaviour& b) { b.delay = 30'000; });
    const auto key = engine->config().replicas[last].vote_key;
    cluster.replica(*config::position_of(cluster.pool.config(), key)).silent = true;
    std::vector<std::optional<Result<schema::OpResult>>> writes(20);
    std::vector<std::optional<Result<ReadResult>>> reads(20);
    std::optional<Result<messages::StatusReply>> status;
    std::optional<Result<messages::EvidenceReply>> evidence;
    for (std::size_t i = 0; i < writes.size(); ++i) {
      submit(std::to_string(cluster.epoch()) + "-" + std::to_string(i), writes[i]);
      begin_read(path("before"), i % 2 == 0 ? kLinearizable : ReadMode::verified, reads[i]);
      run_for(500);
    }
    engine->status(
        last, 0, 2'000'000, [&](auto r) { status = std::move(r); }, cluster.now);
    engine->evidence(
        last, 0, 2'000'000, [&](auto r) { evidence = std::move(r); }, cluster.now);
    run_for(500);
    cluster.move_to(members);
    all([](Behaviour& b) { b = {}; });
    REQUIRE(run(
        [&] {
          return status && evidence && std::ranges::all_of(writes, [](auto& w) { return !!w; }) &&
                 std::ranges::all_of(reads, [](auto& r) { return !!r; });
        },
        5'000'000));
    for (const auto& w : writes) CHECK((*w)->code == Code::ok);
    for (const auto& r : reads) CHECK(inode(*r) != nullptr);
    CHECK(engine->config().n() == members.size());
    CHECK(status->has_value() == (last < members.size()));
    CHECK(evidence->has_value() == (last < members.size()));
    if (!*status) CHECK(status->error().message.find("there is no replica 6") != std::string::npos);
    CHECK(works("after " + std::to_string(cluster.epoch())));
  }
  CHECK(faults.empty());
}

TEST_CASE_FIXTURE(
    Epochs, "T6.9 a round of questions that spans the end of an epoch, or meets it, starts again") {
  REQUIRE(works("before"));
  std::optional<Result<ReadResult>> result;
  SUBCASE("nobody has answered it yet") {
    all([](Behaviour& b) { b.silent = true; });
    cluster.fresh.clear();
    begin_read(path("theirs"), kLinearizable, result);
    run_for(1000);
    CHECK(cluster.fresh.size() == 4);
    cluster.move_to({0, 1, 2, 4});
    cluster.other_client(make_file("theirs"));
    all([](Behaviour& b) { b.silent = false; });
    engine->on_connected(1);
    REQUIRE(run([&] { return result.has_value(); }, 10'000));
    CHECK(inode(*result) != nullptr);
    CHECK(cluster.fresh.size() == 8);
  }
  SUBCASE("a quorum of those before names the last certificate of the epoch") {
    cluster.move_to({0, 1, 2, 4});
    all([](Behaviour& b) {
      b.epoch = 0;  // they know no better
      b.deaf_to_items = true;
      b.oldest_root = true;
    });
    cluster.other_client(make_file("theirs"));
    begin_read(path("theirs"), kLinearizable, result);
    run_for(1'000'000);
    CHECK_FALSE(result);
    CHECK(cluster.fresh.size() >= 4);
    all([](Behaviour& b) { b = {}; });
    REQUIRE(run([&] { return result.has_value(); }, 9'000'000));
    CHECK(inode(*result) != nullptr);
  }
  REQUIRE(*result);
  CHECK(engine->config().epoch == 1);
  CHECK(faults.empty());
}

TEST_CASE_FIXTURE(Epochs,
                  "T9.8 a member that was removed keeps serving a client that knows no better") {
  REQUIRE(works("before"));
  const Seq seen = engine->certificates().newest_seq();
  all([](Behaviour& b) { b.silent = true; });
  cluster.replica(3).silent = false;
  cluster.replica(3).epoch = 0;
  cluster.move_to({0, 1, 2, 4});
  cluster.other_client(make_file("theirs"));
  // Old, but not older than what this client has seen; and what others completed is not missed.
  const auto old = read({path("before")});
  REQUIRE(inode(old) != nullptr);
  CHECK(old->seq >= seen);
  CHECK(engine->config().epoch == 0);
  for (const ReplicaId r : {0U, 1U, 2U, 4U}) cluster.replica(r).silent = false;
  CHECK(inode(read({path("theirs")}, kLinearizable)) != nullptr);
  CHECK(engine->config().epoch == 1);
  CHECK(faults.empty());
}

TEST_CASE_FIXTURE(Epochs,
                  "T6.2 after five epochs an old state file leads to the members of today") {
  REQUIRE(works("before"));
  cluster.move_to({0, 1, 2, 4});
  REQUIRE(works("in the first"));
  const Bytes saved = engine->certificates().save();
  const Seq seen = engine->certificates().newest_seq();
  const std::vector<std::vector<ReplicaId>> moves = {
      {5, 1, 2, 4}, {5, 6, 2, 4}, {5, 6, 7, 4}, {7, 6, 5, 4}, {4, 8, 6, 5}};
  std::ranges::for_each(moves, [this](const auto& members) { cluster.move_to(members); });
  for (const ReplicaId r : {0U, 1U, 2U, 3U}) cluster.replica(r).connected = false;
  restart(saved);
  CHECK(engine->config().epoch == 1);
  CHECK(engine->certificates().newest_seq() == seen);
  REQUIRE(works("today"));
  CHECK(engine->config() == cluster.steps().back().next);
  restart(engine->certificates().save());
  CHECK(engine->config() == cluster.steps().back().next);
  CHECK(works("and again"));
  CHECK(faults.empty());
}

TEST_CASE_FIXTURE(Epochs, "more epochs than one message holds") {
  for (std::size_t i = 0; i < limits::kMaxEpochSteps + 2; ++i) readdress();
  REQUIRE(works("at last"));
  CHECK(engine->certificates().steps() == cluster.steps());
  CHECK(faults.empty());
}

TEST_CASE_FIXTURE(Epochs,
                  "T6.2 a chain that f + 1 retired keys forged is refused, and why is said") {
  REQUIRE(works("before"));
  cluster.move_to({4, 1, 2, 3});
  cluster.move_to({4, 1, 2, 5});
  const auto by_the_retired = [this](messages::Epochs& e) {
    forge(e.steps.front(), {{0, 0}, {3, 3}});
  };
  SUBCASE("by one replica: the others lead on") {
    cluster.replica(2).epochs_lie = by_the_retired;
    cluster.replica(2).delay = 100;
    for (ReplicaId r = 0; r < 4; ++r) engine->on_connected(r);
    REQUIRE(works("after"));
    REQUIRE(faults.size() == 1);
    CHECK(faults[0].replica == 2);
    CHECK(engine->config() == cluster.steps().back().next);
    // Wherever it stands now, it is not read from.
    cluster.move_to({2, 4, 1, 5});
    cluster.reads.clear();
    REQUIRE(works("in the next"));
    for (const ReplicaId r : {4U, 1U, 5U}) cluster.replica(r).silent = true;
    std::optional<Result<ReadResult>> result;
    begin_read(path("after"), ReadMode::verified, result);
    run_for(5'000'000);
    CHECK(cluster.reads.size() > 4);
    CHECK(std::ranges::none_of(cluster.reads, [](const auto& r) { return r.first == 2; }));
  }
  SUBCASE("by everybody who can be reached: the client stays where it is") {
    all([&](Behaviour& b) { b.epochs_lie = by_the_retired; });
    CHECK_FALSE(execute(make_file("nobody's")));
    CHECK(engine->config().epoch == 0);
    REQUIRE(faults.size() == 4);
  }
  SUBCASE("an empty one is no chain either") {
    all([&](Behaviour& b) { b.epochs_lie = [](messages::Epochs& e) { e.steps.clear(); }; });
    CHECK_FALSE(execute(make_file("nobody's")));
    CHECK(faults[0].why.find("no step") != std::string::npos);
    return;
  }
  CHECK(faults[0].why.find("exactly 3 signatures of members of epoch 0") != std::string::npos);
  CHECK_FALSE(faults[0].evidence.empty());
}

// The client knows that they have left: as many signatures as it takes are none of those that
// count.
TEST_CASE_FIXTURE(Epochs, "T6.2 f + 1 retired keys and one of today are no quorum of today's") {
  REQUIRE(works("before"));
  cluster.move_to({4, 1, 2, 3});
  cluster.move_to({4, 1, 2, 5});
  REQUIRE(works("with those who are left"));
  REQUIRE(engine->config().epoch == 2);
  cluster.move_to({4, 6, 2, 5});
  std::map<ReplicaId, ReplicaId> key_at;
  std::string why;
  SUBCASE("where they stood when they were members") {
    key_at = {{0, 0}, {1, 1}, {3, 3}};
    why = "the signature of replica 0 of epoch 2 does not hold";
  }
  SUBCASE("behind one of today's") {
    key_at = {{1, 1}, {2, 0}, {3, 3}};
    why = "the signature of replica 2 of epoch 2 does not hold";
  }
  SUBCASE("as somebody who is no member") {
    key_at = {{0, 4}, {1, 1}, {4, 0}};
    why = "a signer is not a member";
  }
  SUBCASE("members alone are believed: nothing else is wrong with it") {
    key_at = {{0, 4}, {1, 1}, {3, 5}};
  }
  all([&](Behaviour& b) {
    b.epochs_lie = [&](messages::Epochs& e) { forge(e.steps.front(), key_at); };
  });
  std::ignore = execute(make_file("nobody's"));
  CHECK(engine->config().epoch == (why.empty() ? 3 : 2));
  if (why.empty()) return;
  REQUIRE_FALSE(faults.empty());
  for (const Fault& fault : faults) {
    CHECK_MESSAGE(fault.why.find(why) != std::string::npos, fault.why);
    CHECK_FALSE(fault.evidence.empty());
  }
}

TEST_CASE_FIXTURE(Epochs, "who lags behind an epoch or is ahead of it is not blamed") {
  REQUIRE(works("before"));
  cluster.replica(1).epoch = 0;  // for ever
  cluster.move_to({0, 1, 2, 4});
  REQUIRE(works("after"));
  for (const std::uint64_t epoch : {0U, 7U}) {
    const auto frame = messages::encode_frame({cluster.keys.context.cluster_id, epoch},
                                              messages::ReplicaMessage(messages::StatusReply{}));
    engine->on_frame(2, frame, cluster.now);
  }
  run_for(1000);
  CHECK(faults.empty());
  // One that is in this epoch, and whose newest certificate this client never saw.
  restart({});
  REQUIRE(works("anew"));
  cluster.replica(2).fresh_at = 3;
  cluster.replica(2).reply_lie = [&](messages::Reply& r) { r.cert = cluster.cert(3); };
  REQUIRE(works("beside it"));
  CHECK(faults.empty());
}

TEST_CASE_FIXTURE(Epochs, "a proof made in a later epoch verifies with the genesis alone") {
  REQUIRE(works("a"));
  cluster.move_to({0, 1, 2, 4});
  cluster.move_to({0, 5, 2, 4});
  REQUIRE(works("b"));
  std::optional<Result<Bytes>> file;
  engine->prove(
      root_user(), path("a").target, [&](auto r) { file = std::move(r); }, cluster.now);
  REQUIRE(run([&] { return file.has_value(); }));
  REQUIRE(*file);
  const auto anchor = verify::TrustAnchor::of(options.genesis);
  const auto proof = verify::verify_proof_file(cluster.keys.verifier, anchor, **file);
  REQUIRE_MESSAGE(proof, proof.error().message);
  CHECK(proof->certified.epoch == 2);
  CHECK(proof->fact.exists);
}
