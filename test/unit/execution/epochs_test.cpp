// Reconfiguration in the replicated state (protocol §9.2), against the reference model all the way.
#include "execution/epochs.hpp"

#include <doctest/doctest.h>

#include "model/execution.hpp"
#include "world.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
namespace keys = schema::keys;

namespace {

// Seven replicas with keys, of which the first four are the members of the genesis.
struct Epochs : OneSession {
  Cluster seven{7};
  ExecutionModel model{cluster.genesis, cluster.verifier};
  std::uint64_t no = 0;
  config::Config next = cluster.config();

  Epochs() { next.epoch = 1; }

  void replace_last() { next.replicas[3] = seven.config().replicas[4], next.replicas[3].id = 3; }
  void add_three() { next.replicas = seven.config().replicas; }

  // One batch; the model has to agree with everything that was run so far.
  Executed order(const std::vector<Item>& items, std::uint64_t step_us = 1000) {
    const Executed e = run(items, step_us);
    while (checked < log().size()) header = model.step(log()[checked++]).header;
    CHECK(header == e.header);
    return e;
  }
  std::size_t checked = 0;
  messages::BatchHeader header;

  Code execute(const schema::OperationBody& op) {
    return result_of(order({bundle(0, s, ++no, {op})})).results.at(0).code;
  }
  Code propose() { return execute(change_to(next)); }
  Item ready_item(std::uint32_t replica, const config::Config& of) const {
    schema::PendingChange change;
    change.next = of;
    if (const auto pending = engine.pending_change()) change.deadline_us = pending->deadline_us;
    return messages::sign_ready(*seven.replicas[replica], cluster.context.cluster_id,
                                {schema::proposal_hash(change),
                                 seven.replicas[replica]->public_key(), engine.executed_seq()});
  }
  Code ready(std::uint32_t replica) { return result_of(order({ready_item(replica, next)})).code; }
  // Everybody who has to; returns the number of the last batch of the epoch.
  messages::Seq schedule(const std::vector<std::uint32_t>& replicas) {
    for (const std::uint32_t r : replicas) {
      CHECK(engine.body().epoch_end_seq == 0);
      CHECK(ready(r) == Code::ok);
    }
    CHECK(engine.body().epoch_end_seq == engine.executed_seq() + limits::kWindow);
    return engine.body().epoch_end_seq;
  }
  void run_to(messages::Seq seq) {
    while (engine.executed_seq() < seq) order({});
  }
};

}  // namespace

TEST_CASE_FIXTURE(Epochs, "a replacement from its proposal to the next epoch") {
  replace_last();
  REQUIRE(propose() == Code::ok);
  CHECK(engine.pending_change()->next == next);
  const messages::Seq end = schedule({0, 1, 4});
  run_to(end - 1);
  CHECK(engine.body().epoch == 0);
  CHECK(engine.body().epoch_end_seq == end);
  CHECK(engine.body().next_config_hash == Hash{});
  CHECK(engine.config() == cluster.config());

  const Executed last = order({});
  CHECK(last.body.epoch == 0);
  CHECK(last.body.config_hash == cluster.config().hash());
  CHECK(last.body.epoch_end_seq == end);
  CHECK(last.body.next_config_hash == next.hash());
  CHECK(engine.config() == next);
  CHECK_FALSE(engine.pending_change());

  const Executed first = order({});
  CHECK(first.body.epoch == 1);
  CHECK(first.body.config_hash == next.hash());
  CHECK(first.body.epoch_end_seq == 0);
  CHECK(first.body.next_config_hash == Hash{});
}

TEST_CASE_FIXTURE(Epochs, "reopened at every stage, it goes on alike") {
  tree::MemoryPageStore store;
  replace_last();
  REQUIRE(propose() == Code::ok);
  const auto again = [&] { engine = reopened(cluster, engine, store); };
  again();
  CHECK(engine.pending_change().has_value());
  const messages::Seq end = schedule({4, 2, 1});
  again();
  run_to(end - 1);
  again();
  order({});
  again();
  CHECK(engine.config() == next);
  CHECK(order({}).body.epoch == 1);
  again();
  CHECK(engine.config() == next);
}

TEST_CASE_FIXTURE(Epochs, "joining members and a quorum of the next have to be ready") {
  SUBCASE("n = 4: without who joins it never ends") {
    replace_last();
    REQUIRE(propose() == Code::ok);
    CHECK(ready(0) == Code::ok);
    CHECK(ready(1) == Code::ok);
    CHECK(ready(2) == Code::ok);
    CHECK(engine.body().epoch_end_seq == 0);
    CHECK(ready(4) == Code::ok);
    CHECK(engine.body().epoch_end_seq != 0);
  }
  SUBCASE("4 -> 7: the three new ones and two others") {
    add_three();
    REQUIRE(propose() == Code::ok);
    const messages::Seq end = schedule({4, 5, 6, 0, 3});
    run_to(end + 1);
    CHECK(engine.config().n() == 7);
    SUBCASE("and back to four, of which three") {
      next.epoch = 2;
      next.replicas = {next.replicas[6], next.replicas[1], next.replicas[2], next.replicas[5]};
      for (std::uint32_t i = 0; i < 4; ++i) next.replicas[i].id = i;
      REQUIRE(propose() == Code::ok);
      const messages::Seq second = schedule({6, 5, 1});
      run_to(second + 1);
      CHECK(engine.config() == next);
      CHECK(engine.body().epoch == 2);
    }
  }
}

TEST_CASE_FIXTURE(Epochs, "READY counts once, of members of the pending configuration only") {
  CHECK(ready(0) == Code::no_entry);
  replace_last();
  REQUIRE(propose() == Code::ok);
  CHECK(ready(5) == Code::no_entry);  // nobody's member
  CHECK(ready(3) == Code::no_entry);  // it leaves
  CHECK(ready(0) == Code::ok);
  CHECK(ready(0) == Code::exists);
  CHECK(result_of(order({ready_item(1, cluster.config())})).code == Code::no_entry);
  CHECK(engine.pending_change()->ready == 0b0001);
  CHECK(ready(1) == Code::ok);
  CHECK(ready(4) == Code::ok);
  CHECK(ready(2) == Code::no_entry);  // scheduled
}

TEST_CASE_FIXTURE(Epochs,
                  "READY is of one proposal, not of another one of the same configuration") {
  using messages::Admission;
  replace_last();
  REQUIRE(propose() == Code::ok);
  const Item old = ready_item(4, next);
  REQUIRE(result_of(order({old})).code == Code::ok);
  REQUIRE(execute(change_to(engine.config())) == Code::ok);
  REQUIRE(propose() == Code::ok);
  CHECK(engine.admit(*messages::parse_item(old)) == Admission::no_session);
  CHECK(result_of(order({old})).code == Code::no_entry);
  CHECK(engine.pending_change()->ready == 0);
  CHECK(ready(4) == Code::ok);
}

TEST_CASE_FIXTURE(Epochs, "admission lets in only what would count") {
  using messages::Admission;
  replace_last();
  const auto admitted = [&](const Item& item) { return engine.admit(*messages::parse_item(item)); };
  CHECK(admitted(ready_item(0, next)) == Admission::no_session);
  REQUIRE(propose() == Code::ok);
  CHECK(admitted(ready_item(0, next)) == Admission::accept);
  CHECK(admitted(ready_item(3, next)) == Admission::no_session);
  CHECK(admitted(ready_item(0, cluster.config())) == Admission::no_session);
  REQUIRE(ready(0) == Code::ok);
  CHECK(admitted(ready_item(0, next)) == Admission::done);
  schedule({1, 4});
  CHECK(admitted(ready_item(2, next)) == Admission::no_session);
}

TEST_CASE_FIXTURE(Epochs, "who may propose, and what (T9.4)") {
  replace_last();
  schema::ChangeConfig op = change_to(next);
  SUBCASE("nobody signed") {
    op.signatures.clear();
    CHECK(execute(op) == Code::not_permitted);
  }
  SUBCASE("signed as another kind of statement") {
    op.signatures = {
        {0, cluster.admin->sign(tags::kAdmin, {cluster.context.cluster_id, 0}, encode(op.body))}};
    CHECK(execute(op) == Code::not_permitted);
  }
  SUBCASE("changed behind the signature") {
    op.body.next.replicas[0].port += 4;
    CHECK(execute(op) == Code::not_permitted);
  }
  SUBCASE("too late, or valid for too long") {
    op.body.valid_until_us = now - 1;
    sign(op);
    CHECK(execute(op) == Code::invalid);
    op.body.valid_until_us = now + 2 * kHour;
    sign(op);
    CHECK(execute(op) == Code::invalid);
  }
  SUBCASE("no possible step") {
    op.body.next.replicas.push_back(seven.config().replicas[5]);
    op.body.next.replicas.back().id = 4;
    sign(op);
    CHECK(execute(op) == Code::invalid);
  }
  SUBCASE("a second one, while one is pending") {
    REQUIRE(propose() == Code::ok);
    CHECK(propose() == Code::exists);
  }
  SUBCASE("an old statement, replayed after the epoch that it made") {
    REQUIRE(execute(op) == Code::ok);
    run_to(schedule({0, 1, 4}) + 1);
    CHECK(execute(op) == Code::exists);
  }
  SUBCASE("one that was made for the configuration before") {
    ++op.body.valid_until_us;
    sign(op);
    REQUIRE(propose() == Code::ok);
    run_to(schedule({0, 1, 4}) + 1);
    CHECK(execute(op) == Code::version_conflict);
  }
}

TEST_CASE_FIXTURE(Epochs, "a statement is executed once, whoever carries it again") {
  replace_last();
  const schema::ChangeConfig proposal = change_to(next);
  const schema::ChangeConfig take_back = change_to(engine.config());
  CHECK(execute(take_back) == Code::no_entry);
  REQUIRE(execute(proposal) == Code::ok);
  REQUIRE(execute(take_back) == Code::ok);  // what was refused is not used up
  CHECK(execute(proposal) == Code::exists);
  CHECK_FALSE(engine.pending_change());

  SUBCASE("a new one with the same content is another statement") {
    REQUIRE(propose() == Code::ok);
    SUBCASE("which the old one does not take back") {
      CHECK(execute(take_back) == Code::exists);
      CHECK(engine.pending_change().has_value());
    }
    SUBCASE("and it is scheduled like any other") { schedule({0, 1, 4}); }
  }
  SUBCASE("after a restart, too") {
    tree::MemoryPageStore store;
    engine = reopened(cluster, engine, store);
    CHECK(execute(proposal) == Code::exists);
  }
  SUBCASE("at its end, and when it is over") {
    constexpr std::uint64_t kStep = 1000;
    order({}, proposal.body.valid_until_us - now - kStep);
    // The first of the two forgets what is over.
    const auto results =
        result_of(order({bundle(0, s, ++no, {registration(1, false), proposal})})).results;
    CHECK(now == proposal.body.valid_until_us);
    CHECK(results.at(0).code == Code::ok);
    CHECK(results.at(1).code == Code::exists);
    CHECK(execute(proposal) == Code::invalid);
  }
}

TEST_CASE_FIXTURE(Epochs, "what an all-or-nothing bundle took back was not executed") {
  replace_last();
  const schema::ChangeConfig proposal = change_to(next);
  World::Options together;
  together.all_or_nothing = true;
  schema::ChangeConfig impossible = proposal;
  impossible.signatures.clear();
  const auto results =
      result_of(order({bundle(0, s, ++no, {proposal, impossible}, together)})).results;
  REQUIRE(results.at(0).code == Code::rolled_back);
  CHECK(leaves_under(keys::used_statements()) == 0);
  CHECK(execute(proposal) == Code::ok);
}

TEST_CASE_FIXTURE(Epochs, "a client that was removed does not come back by the statement of then") {
  const schema::OperationBody add = registration(1, false);
  const schema::OperationBody remove = registration(1, true);
  CHECK(execute(add) == Code::ok);
  CHECK(execute(add) == Code::exists);
  CHECK(execute(remove) == Code::ok);
  CHECK(execute(add) == Code::exists);
  CHECK(leaves_under(keys::principal(cluster.clients[1]->public_key())) == 0);
  CHECK(execute(registration(1, false)) == Code::ok);
  CHECK(execute(remove) == Code::exists);
  CHECK(leaves_under(keys::principal(cluster.clients[1]->public_key())) == 1);
}

TEST_CASE_FIXTURE(Epochs, "statements are remembered until they are over, and not for ever") {
  constexpr std::size_t kMany = 2 * limits::kForgottenPerStatement;
  for (std::size_t i = 0; i < kMany; ++i) CHECK(execute(registration(1, i % 2 == 0)) == Code::ok);
  const auto remembered = [&] { return leaves_under(keys::used_statements()); };
  CHECK(remembered() == kMany);
  order({}, kHour);
  CHECK(remembered() == kMany);
  std::size_t expected = kMany;
  for (int i = 0; i < 2; ++i) {
    CHECK(execute(registration(1, i % 2 == 0)) == Code::ok);
    expected = expected + 1 - limits::kForgottenPerStatement;
    CHECK(remembered() == expected);
  }
  CHECK(execute(registration(1, true)) == Code::ok);
  CHECK(remembered() == 3);
}

TEST_CASE_FIXTURE(Epochs, "taken back until it is scheduled, not later") {
  const config::Config changed = (replace_last(), next);
  const auto take_back = [&] {
    next = engine.config();
    const Code code = propose();
    next = changed;
    return code;
  };
  CHECK(take_back() == Code::no_entry);
  REQUIRE(propose() == Code::ok);
  REQUIRE(ready(0) == Code::ok);
  CHECK(take_back() == Code::ok);
  CHECK_FALSE(engine.pending_change());
  CHECK(ready(1) == Code::no_entry);
  REQUIRE(propose() == Code::ok);
  CHECK(engine.pending_change()->ready == 0);
  schedule({0, 1, 4});
  CHECK(take_back() == Code::no_entry);
}

TEST_CASE_FIXTURE(Epochs, "dropped when it is not ready in time; never once it is scheduled") {
  replace_last();
  REQUIRE(propose() == Code::ok);
  const std::uint64_t deadline = engine.pending_change()->deadline_us;
  CHECK(deadline == now + limits::kChangeTimeoutUs);
  order({}, limits::kChangeTimeoutUs);
  CHECK(now == deadline);
  CHECK(engine.pending_change().has_value());
  SUBCASE("one microsecond later it is gone") {
    order({}, 1);
    CHECK_FALSE(engine.pending_change());
    CHECK(ready(0) == Code::no_entry);
  }
  SUBCASE("scheduled just in time it stays") {
    for (const std::uint32_t r : {0U, 1U})
      CHECK(result_of(order({ready_item(r, next)}, 0)).code != Code::exists);
    CHECK_FALSE(engine.pending_change());
  }
  SUBCASE("the last READY in the batch that is too late still counts") {
    order({ready_item(0, next), ready_item(1, next), ready_item(4, next)}, kHour);
    REQUIRE(engine.pending_change().has_value());
    const messages::Seq end = engine.body().epoch_end_seq;
    order({}, kHour);
    run_to(end);
    CHECK(engine.config() == next);
  }
}

TEST_CASE_FIXTURE(Epochs, "the key of a member that left never comes back") {
  replace_last();
  REQUIRE(propose() == Code::ok);
  run_to(schedule({0, 1, 4}));
  CHECK(leaves_under(keys::retired(cluster.config().replicas[3].vote_key)) == 1);
  next.epoch = 2;
  next.replicas[0] = cluster.config().replicas[3];
  next.replicas[0].id = 0;
  CHECK(propose() == Code::invalid);
  next.replicas[0] = seven.config().replicas[5];
  next.replicas[0].id = 0;
  CHECK(propose() == Code::ok);
}

TEST_CASE_FIXTURE(Epochs,
                  "a state whose configuration is not the one that its body names is refused") {
  replace_last();
  REQUIRE(propose() == Code::ok);
  run_to(schedule({0, 1, 4}));
  execution::Checkpoint checkpoint = engine.checkpoint();
  const auto opened = [&] {
    return Engine::from_checkpoint(cluster.context.cluster_id, cluster.verifier, checkpoint,
                                   engine.version());
  };
  CHECK(opened()->config() == next);
  checkpoint.body.next_config_hash[0] ^= 1;
  CHECK(opened().error().code == Errc::corrupt);
  checkpoint.body.next_config_hash = {};
  CHECK(opened()->config() == cluster.config());
  checkpoint.body.config_hash[0] ^= 1;
  CHECK(opened().error().code == Errc::corrupt);
}
