// Each oracle fires when it should: an oracle that cannot fail finds nothing.
#include <doctest/doctest.h>

#include "sim/minimize.hpp"
#include "sim/toy_cluster.hpp"

using namespace bftmeta;
using sim::Oracles;

namespace {

// The oracles of four correct replicas, without a cluster around them.
struct Watched {
  explicit Watched(sim::Standing last = sim::Standing::correct) : Watched(plan_with(last)) {}
  explicit Watched(const sim::Plan& plan)
      : cluster(std::make_unique<sim::Cluster>(plan, sim::toy_machine, sim::memory_log,
                                               sim::noop_bundle)) {}
  static sim::Plan plan_with(sim::Standing last) {
    sim::Plan plan;
    plan.clients = 1;
    plan.bundles_per_client = 0;
    if (last == sim::Standing::byzantine) plan.byzantine[3] = nullptr;
    return plan;
  }
  Oracles& oracles() { return cluster->oracles(); }
  const crypto::Context& context() { return oracles().known().context; }

  messages::Proposal proposal(messages::View view, std::uint8_t digest) {
    return {view, 1, Hash{digest}};
  }
  messages::Prepare prepare(messages::ReplicaId who, const messages::Proposal& p) {
    return messages::sign_prepare(cluster->signer(who), context(), p, who);
  }
  messages::CertBody body(std::uint8_t root) {
    messages::CertBody b;
    b.cluster_id = context().cluster_id;
    b.config_hash = oracles().known().config.hash();
    b.seq = 1;
    b.state_root[0] = root;
    return b;
  }
  messages::RootShare share(messages::ReplicaId who, const messages::CertBody& b) {
    return messages::sign_share(cluster->signer(who), b, who);
  }
  // Executes an empty batch with this agreed time as sequence number 1.
  void execute(messages::ReplicaId who, const messages::CertBody& b, std::uint64_t time_us = 5) {
    messages::Batch batch;
    batch.seq = 1;
    batch.time_us = time_us;
    const auto parsed = messages::parse_batch(context(), batch);
    REQUIRE(parsed.has_value());
    for (messages::ReplicaId r = 0; r < 3; ++r)
      oracles().sent(r, messages::Commit{{0, 1, parsed->digest}});
    consensus::Outcome outcome;
    outcome.header.seq = 1;
    outcome.body = b;
    oracles().executed(who, *parsed, outcome, {}, nullptr);
  }
  // What fired, by number; empty: nothing.
  std::string fired() {
    const auto& all = oracles().violations();
    return all.empty() ? "" : all.front().substr(0, all.front().find(' '));
  }

  std::unique_ptr<sim::Cluster> cluster;
};

consensus::Record vote_for(const messages::Proposal& p) {
  return {consensus::RecordKind::vote, p.seq, encode(consensus::VoteRecord{p, {}})};
}

consensus::Record body_of(const messages::Batch& batch, const messages::Proposal& p) {
  return {consensus::RecordKind::body, p.seq, encode(batch), p.digest};
}
consensus::Record entered(messages::View view) {
  consensus::EnteredRecord record;
  record.view = view;
  return {consensus::RecordKind::entered, 0, encode(record)};
}

}  // namespace

TEST_CASE("S1 fires when two replicas execute different things") {
  Watched w;
  w.execute(0, w.body(1));
  CHECK(w.fired().empty());
  w.execute(1, w.body(1));
  CHECK(w.fired().empty());
  w.execute(2, w.body(2));
  CHECK(w.fired() == "S1");
}

TEST_CASE("S1 expects nothing of a Byzantine replica") {
  Watched w(sim::Standing::byzantine);
  w.execute(0, w.body(1));
  w.execute(3, w.body(2));
  CHECK(w.fired().empty());
}

TEST_CASE("S2 fires on W valid shares for something that nobody executed") {
  Watched w(sim::Standing::byzantine);
  w.execute(0, w.body(1));
  w.oracles().sent(3, w.share(3, w.body(2)));
  messages::RootShare broken = w.share(2, w.body(2));
  broken.signature[0] ^= 1;
  w.oracles().sent(3, broken);
  CHECK(w.fired().empty());
  w.oracles().sent(3, w.share(1, w.body(2)));
  CHECK(w.fired() == "S2");
}

TEST_CASE(
    "S2 and S13 fire on a state that is fetched without need, too old, or not the agreed one") {
  const tree::Version empty = tree::Version::empty();
  const std::vector<tree::Update> one_leaf{{Key(Bytes{1}), Bytes{2}}};
  const auto other = empty.apply(one_leaf);
  REQUIRE(other.has_value());
  const auto fetched = [&](messages::Seq floor, std::uint8_t root, const tree::Version& leaves) {
    Watched w(sim::Standing::byzantine);
    w.execute(0, w.body(1));
    w.oracles().sent(0, messages::HistoryData{1, {}, {}, std::nullopt}, {2});
    w.oracles().transfers().began(2, 0, floor, false);
    messages::CertifiedState state;
    state.cert.body = w.body(root);
    state.header.batch_digest = w.oracles().known().agreed->at(1).batch_digest;
    w.oracles().transfers().ended(2, state, leaves, &empty);
    return w.fired();
  };
  CHECK(fetched(1, 1, empty) == "");
  CHECK(fetched(2, 1, empty) == "S13");
  CHECK(fetched(1, 9, empty) == "S2");
  CHECK(fetched(1, 1, *other) == "S2");
  Watched w(sim::Standing::byzantine);
  w.oracles().sent(3, messages::HistoryData{1, {}, {}, std::nullopt}, {2});  // who is a liar
  w.oracles().sent(0, messages::HistoryData{5, {}, {}, std::nullopt}, {2});  // of something else
  w.oracles().transfers().began(2, 0, 1, true);
  CHECK(w.fired() == "");
  w.oracles().transfers().began(2, 0, 1, false);
  CHECK(w.fired() == "S13");
}

TEST_CASE("S3 fires when one request is executed twice") {
  Watched w;
  const auto signer = sim::IdealSigner(w.cluster->genesis().clients[0].sign_key);
  messages::SessionOpen open{signer.public_key(), {}, 9};
  messages::Batch batch;
  batch.items.push_back(messages::sign_session_open(signer, w.context().cluster_id, open));
  for (const messages::Seq seq : {1U, 2U}) {
    CHECK(w.fired().empty());
    batch.seq = seq;
    batch.time_us = 10 * seq;
    const auto parsed = messages::parse_batch(w.context(), batch);
    REQUIRE(parsed.has_value());
    for (messages::ReplicaId r = 0; r < 3; ++r)
      w.oracles().sent(r, messages::Commit{{0, seq, parsed->digest}});
    consensus::Outcome outcome;
    outcome.header.seq = seq;
    outcome.body.time_us = 10 * seq;
    sim::Outcome item;
    item.request_digest = parsed->items[0].digest;
    w.oracles().executed(0, *parsed, outcome, {item}, nullptr);
  }
  CHECK(w.fired() == "S3");
}

TEST_CASE("S4 fires on a second PREPARE, also when it is passed on by another replica") {
  Watched w;
  w.oracles().sent(1, w.prepare(1, w.proposal(0, 1)));
  w.oracles().sent(2, w.prepare(1, w.proposal(0, 1)));
  w.oracles().sent(1, w.prepare(1, w.proposal(4, 2)));
  CHECK(w.fired().empty());
  w.oracles().sent(2, w.prepare(1, w.proposal(0, 2)));
  CHECK(w.fired() == "S4");
}

TEST_CASE("S4 fires on a vote for a batch that the log does not have") {
  Watched w;
  messages::Batch batch;
  batch.seq = 1;
  const messages::Proposal p{0, 1, messages::batch_digest(w.context(), batch)};
  w.oracles().logged(1, body_of(batch, p), 0);
  w.oracles().logged(1, vote_for(p), 0);
  CHECK(w.fired().empty());
  w.oracles().logged(1, vote_for(w.proposal(0, 2)), 0);
  CHECK(w.fired() == "S4");
}

TEST_CASE("S4 fires when a view is entered twice, unless the replica has started again") {
  Watched w;
  w.oracles().logged(1, entered(0), 0);
  w.oracles().logged(1, entered(2), 0);
  w.oracles().started(1);
  w.oracles().logged(1, entered(2), 0);
  CHECK(w.fired().empty());
  w.oracles().logged(1, entered(2), 0);
  CHECK(w.fired() == "S4");
}

TEST_CASE("S6 fires when a later view prepares something else than W replicas had") {
  for (const bool late : {false, true}) {
    Watched w;
    if (late) w.oracles().sent(2, messages::Commit{w.proposal(1, 2)});
    w.oracles().sent(0, messages::Commit{w.proposal(0, 1)});
    CHECK(w.fired().empty());
    w.oracles().sent(1, messages::Commit{w.proposal(0, 1)});
    if (!late) {
      CHECK(w.fired().empty());
      w.oracles().sent(2, messages::Commit{w.proposal(1, 2)});
    }
    CHECK(w.fired() == "S6");
  }
}

TEST_CASE("S7 fires when the naive model has another root") {
  sim::Plan plan;
  plan.bundles_per_client = 1;
  plan.reference = true;  // of the file system; the toy only hashes
  sim::Cluster cluster(plan, sim::toy_machine, sim::memory_log, sim::noop_bundle);
  const sim::Report report = cluster.run();
  REQUIRE_FALSE(report.violations.empty());
  CHECK(report.violations.front().starts_with("S7 "));
}

TEST_CASE("S8 fires on a state that is no file system") {
  Watched w;
  w.oracles().check_state(tree::Version::empty());
  CHECK(w.fired() == "S8");
}

TEST_CASE("S9 fires on a read of a state that nobody has executed") {
  Watched w;
  w.oracles().read({}, {}, 7, {});
  CHECK(w.fired() == "S9");
}

TEST_CASE("S9 and S5 fire on an acknowledgement of something that was not executed") {
  Watched w;
  sim::Acknowledged lie;
  lie.seq = 3;
  w.oracles().acknowledged(lie);
  CHECK(w.fired() == "S9");
  w.cluster->host(0).start();
  w.oracles().finish({}, {&w.cluster->host(0)});
  CHECK(w.oracles().violations().back().starts_with("S5"));
}

TEST_CASE("S10 fires on a history that goes back") {
  Watched w;
  test::HistoryEntry first{0, test::Action::write, 1, 2, true, 7};
  test::HistoryEntry second{1, test::Action::linearizable_read, 3, 4, true, 6};
  w.oracles().finish({first, second}, {});
  CHECK(w.fired() == "S10");
}

TEST_CASE("S11 fires on agreed time that is not the rule's, and on a vote against the clock") {
  SUBCASE("execution") {
    Watched w;
    auto body = w.body(1);
    body.time_us = 5;
    w.execute(0, body, 5);
    messages::Batch batch;
    batch.seq = 2;
    batch.time_us = 3;  // behind: it has to become 6
    const auto parsed = messages::parse_batch(w.context(), batch);
    for (messages::ReplicaId r = 0; r < 3; ++r)
      w.oracles().sent(r, messages::Commit{{0, 2, parsed->digest}});
    consensus::Outcome outcome;
    outcome.header.seq = 2;
    outcome.body = w.body(1);
    outcome.body.time_us = 3;
    CHECK(w.fired().empty());
    w.oracles().executed(0, *parsed, outcome, {}, nullptr);
    CHECK(w.fired() == "S11");
  }
  SUBCASE("vote") {
    Watched w;
    messages::PrePrepare m;
    m.batch.seq = 1;
    m.batch.time_us = 1'000'000'000;
    m.proposal = {0, 1, messages::batch_digest(w.context(), m.batch)};
    m.signature = messages::sign_pre_prepare(w.cluster->signer(0), w.context(), m.proposal);
    w.oracles().sent(0, m);
    w.oracles().logged(1, body_of(m.batch, m.proposal), 0);
    w.oracles().logged(1, vote_for(m.proposal), m.batch.time_us + limits::kSkewBehindUs + 1);
    CHECK(w.fired() == "S11");
  }
}

TEST_CASE("S13 fires on anything invalid that a correct replica sends") {
  Watched w;
  messages::Prepare broken = w.prepare(1, w.proposal(0, 1));
  broken.signature[0] ^= 1;
  w.oracles().sent(1, broken);
  CHECK(w.fired() == "S13");
}

TEST_CASE("S12 fires when a replica keeps more than its bound") {
  Watched w;
  w.oracles().liveness().holds(1, {"slots", 4, 4});
  CHECK(w.fired().empty());
  w.oracles().liveness().holds(1, {"slots", 5, 4});
  CHECK(w.fired() == "S12");
}

TEST_CASE("S12 fires on a vote beyond the window, and on answers without end") {
  Watched w;
  SUBCASE("vote") {
    messages::Proposal p{0, limits::kWindow, Hash{1}};
    w.oracles().sent(1, w.prepare(1, p));
    CHECK(w.fired().empty());
    p.seq += 1;
    w.oracles().sent(1, w.prepare(1, p));
  }
  SUBCASE("answers") {
    for (int i = 0; i < 250; ++i) w.oracles().sent(1, messages::HistoryData{}, {2});
    CHECK(w.fired().empty());
    w.oracles().sent(1, messages::HistoryData{}, {3});
    CHECK(w.fired().empty());
    w.oracles().sent(1, messages::HistoryData{}, {2});
  }
  CHECK(w.fired() == "S12");
}

TEST_CASE("S13 fires when a replica asks for what nobody has executed") {
  Watched w;
  w.execute(0, w.body(1));
  w.oracles().sent(1, messages::FetchHistory{0});
  CHECK(w.fired().empty());
  w.oracles().sent(1, messages::FetchHistory{1});
  CHECK(w.fired() == "S13");
}

TEST_CASE("S13 fires when a replica that lost nothing is fenced") {
  Watched w(sim::Standing::byzantine);
  w.oracles().fenced(3, "anything");
  CHECK(w.fired().empty());
  w.oracles().fenced(1, "an old copy");
  CHECK(w.fired() == "S13");
}

TEST_CASE("S13 fires when there is evidence against a correct replica") {
  Watched w(sim::Standing::byzantine);
  w.oracles().accused(1, {3, messages::Offence::two_prepares, 0, 1});
  w.oracles().accused(3, {1, messages::Offence::two_prepares, 0, 1});
  CHECK(w.fired().empty());
  w.oracles().accused(1, {2, messages::Offence::two_prepares, 0, 1});
  CHECK(w.fired() == "S13");
}

TEST_CASE("S13 fires when a replica votes after it was fenced") {
  sim::Plan plan;
  plan.clients = 1;
  plan.rotten = 1U << 2;
  Watched w(plan);
  const consensus::Record vote = vote_for(w.proposal(0, 1));
  w.oracles().logged(2, vote, 0);
  w.oracles().fenced(2, "a new disk");
  w.oracles().logged(2, {consensus::RecordKind::executed, 1, {}}, 0);
  CHECK(w.fired().empty());
  w.oracles().logged(2, vote, 0);
  CHECK(w.fired() == "S13");
}

TEST_CASE("S14 fires on a share, or an execution, of what was not committed") {
  SUBCASE("share") {
    Watched w;
    w.oracles().sent(1, w.share(1, w.body(1)));
    CHECK(w.fired() == "S14");
  }
  SUBCASE("execution") {
    Watched w;
    messages::Batch batch;
    batch.seq = 1;
    const auto parsed = messages::parse_batch(w.context(), batch);
    for (messages::ReplicaId r = 0; r < 2; ++r)
      w.oracles().sent(r, messages::Commit{{0, 1, parsed->digest}});
    consensus::Outcome outcome;
    outcome.header.seq = 1;
    w.oracles().executed(0, *parsed, outcome, {}, nullptr);
    CHECK(w.fired() == "S14");
  }
  SUBCASE("execution by what others were told") {
    Watched w(sim::Standing::byzantine);
    messages::Batch batch;
    batch.seq = 1;
    const auto parsed = messages::parse_batch(w.context(), batch);
    w.oracles().sent(1, messages::Commit{{0, 1, parsed->digest}});
    w.oracles().sent(3, messages::Commit{{0, 1, parsed->digest}}, {1, 2});
    consensus::Outcome outcome;
    outcome.header.seq = 1;
    w.oracles().executed(0, *parsed, outcome, {}, nullptr);
    CHECK(w.fired() == "S14");
  }
}

TEST_CASE("L1 fires when the load is not done within the bound") {
  sim::Plan plan;
  plan.window_us = plan.heal_us = 1'000;
  sim::Cluster cluster(plan, sim::toy_machine, sim::memory_log, sim::noop_bundle);
  const sim::Report report = cluster.run();
  CHECK_FALSE(report.completed);
  REQUIRE_FALSE(report.violations.empty());
  CHECK(report.violations.front().starts_with("L1 "));
}

TEST_CASE("L4 fires when a view is left although nothing is wrong") {
  Watched w;
  w.oracles().liveness().expect_no_fault();
  w.cluster->start_all();
  w.cluster->client(0).open_session();
  w.cluster->run_for(100'000);
  CHECK(w.fired().empty());
  w.cluster->host(0).kill();  // a primary that restarts leaves its view
  w.cluster->start(0);
  w.cluster->run_for(1'000'000);
  CHECK(w.fired() == "L4");
}

TEST_CASE("L5 fires when certificates do not keep up") {
  sim::Plan plan;
  plan.clients = 12;
  plan.bundles_per_client = 0;
  Watched w(plan);
  w.oracles().liveness().expect_no_fault();
  w.cluster->network().add_rule({{0, 1, 2, 3}, {0, 1, 2, 3}, "ROOT-SHARE", {}, {}});
  w.cluster->start_all();
  for (std::uint32_t c = 0; c < plan.clients; ++c) {
    if (c <= 8) CHECK(w.fired().empty());  // so many batches may wait for their shares
    w.cluster->client(c).open_session();
    w.cluster->run_for(20'000);
  }
  CHECK(w.fired() == "L5");
}

TEST_CASE("L3 fires when views change more often than faulty primaries come by") {
  Watched w;
  w.oracles().liveness().healed(0, 3);
  w.oracles().liveness().check_views(w.oracles().known().config, 5);
  CHECK(w.fired().empty());
  w.oracles().liveness().check_views(w.oracles().known().config, 6);
  CHECK(w.fired() == "L3");
}

TEST_CASE("a replica whose root differs is noticed in a whole run") {
  sim::Plan plan;
  plan.bundles_per_client = 5;
  sim::Cluster cluster(plan, sim::toy_machine, sim::memory_log, sim::noop_bundle);
  cluster.host(2).diverge(sim::Host::Diverges::always);
  const sim::Report report = cluster.run();
  REQUIRE_FALSE(report.violations.empty());
  CHECK(report.violations.front().starts_with("S1 "));
}

TEST_CASE("replicas that forget their votes are noticed, and the run becomes small") {
  std::optional<sim::Minimized> smallest;
  std::size_t faults = 0;
  for (std::uint64_t seed = 1; seed <= 60 && !smallest; ++seed) {
    sim::Plan plan;
    plan.seed = seed;
    plan.window_us = 3'000'000;
    plan.crashes = 5;
    plan.crash_all = true;
    plan.partitions = 3;
    plan.network.loss = 50;
    const sim::Report report = sim::run_forgetful(plan);
    if (report.violations.empty()) continue;
    faults = report.schedule.size();
    smallest = sim::minimize(plan, report, sim::run_forgetful);
  }
  REQUIRE(smallest.has_value());
  REQUIRE_FALSE(smallest->report.violations.empty());
  // A power cut is what it takes; partitions and most of the cuts are not needed.
  CHECK(smallest->plan.schedule->size() < faults);
  REQUIRE_FALSE(smallest->plan.schedule->empty());
  CHECK(sim::run_forgetful(smallest->plan).violations == smallest->report.violations);
  const std::string text = sim::describe(*smallest);
  CHECK(text.find("power-cut") != std::string::npos);
}
