// The swarm's fixed seeds, and sweeps: a power cut or a restart at every step of one run.
#include <doctest/doctest.h>

#include "sim/disk_log.hpp"
#include "sim/engine_machine.hpp"
#include "sim/swarm.hpp"
#include "sim/toy_cluster.hpp"

using namespace bftmeta;

// `simulate` runs as many as wanted. Each strategy has its turn five times in these.
TEST_CASE("swarm: every oracle holds on the first 355 seeds") {
  sim::Report sum;
  std::uint64_t lies = 0;
  for (std::uint64_t seed = 1; seed <= 355; ++seed) {
    const sim::SwarmRun run = sim::run_swarm(seed);
    if (!run.report.violations.empty()) FAIL_CHECK(sim::explain(run));
    CHECK(run.report.completed);
    sum.batches += run.report.batches;
    sum.reads += run.report.reads;
    sum.refuted += run.report.refuted;
    sum.modelled += run.report.modelled;
    sum.transfers += run.report.transfers;
    for (const auto& [kind, count] : run.report.faults) sum.faults[kind] += count;
    lies += run.lies;
  }
  // A swarm in which little happens would prove little.
  CHECK(sum.batches > 3000);
  CHECK(sum.reads > 1000);
  CHECK(sum.refuted > 10);
  CHECK(sum.modelled > 500);
  CHECK(lies > 300);
  CHECK(sum.transfers > 15);
  for (std::size_t kind = 0; kind < sim::kFaultKinds; ++kind) {
    const std::string name = sim::fault_name(static_cast<sim::FaultKind>(kind));
    INFO(name);
    CHECK(sum.faults[name] > 3);
  }
  CHECK(sum.faults["corrupted-frame"] > 100);
}

// Among them seeds in which two that had gone on answered each other with EPOCHS for ever, and in
// which a lie in a STATUS was answered with a certificate that did not exist.
TEST_CASE("T9.9 swarm: members change beside liars and all other faults") {
  std::uint64_t lies = 0;
  const auto runs = [&](std::uint64_t first, std::uint64_t last, const char* strategy) {
    sim::SwarmOptions options;
    options.reconfigure = true;
    options.strategy = strategy;
    for (std::uint64_t seed = first; seed <= last; ++seed) {
      const sim::SwarmRun run = sim::run_swarm(seed, options);
      if (!run.report.violations.empty()) FAIL_CHECK(sim::explain(run));
      CHECK(run.report.completed);
      lies += run.lies;
    }
  };
  runs(1000, 1019, "");
  runs(1050, 1051, "");
  runs(100, 103, "status-lies");
  runs(200, 203, "slow-primary");  // fills up no faster than it proposes
  CHECK(lies > 1000);
}

// Proposed, READY, scheduled, filled up, certified, joint, begun: the power goes off in each step.
TEST_CASE("T9.7 power cut of some, and of all, at every step of a reconfiguration") {
  constexpr std::uint64_t kStepUs = 40'000;
  constexpr std::uint32_t kAll = 0b1111111;
  constexpr std::uint32_t kSome[] = {kAll, 0b0001111, 0b1110000, 0b0000001, 0b1010010};
  const auto run = [](std::uint64_t at_us, std::uint32_t replicas) {
    sim::Plan plan;
    add_memberships(plan);
    plan.bundles_per_client = 40;
    plan.think_max_us = 20'000;
    plan.schedule.emplace();
    if (replicas != 0)
      plan.schedule->push_back({.at_us = at_us,
                                .kind = sim::FaultKind::power_cut,
                                .replicas = replicas,
                                .for_us = 100'000,
                                .seed = at_us});
    plan.window_us = 5'000'000;
    plan.final_power_cut = true;
    return sim::Cluster(
               plan, sim::EngineMachine::genesis,
               [](sim::Random r) { return std::make_unique<sim::DiskLog>(r); }, sim::noop_bundle)
        .run();
  };
  // Without a cut both changes are over by then.
  const sim::Report whole = run(0, 0);
  REQUIRE(whole.completed);
  constexpr std::uint64_t kOverUs = 4'000'000;
  std::size_t turn = 0;
  for (std::uint64_t at_us = 0; at_us < kOverUs; at_us += kStepUs) {
    const std::uint32_t replicas = kSome[turn++ % std::size(kSome)];
    const sim::Report report = run(at_us, replicas);
    INFO("at " << at_us << " us, replicas " << sim::replica_set(replicas));
    for (const std::string& violation : report.violations) FAIL_CHECK(violation);
    CHECK(report.completed);
  }
}

// The floor compares with what was seen: such a primary is served out, and no bundle waits long.
TEST_CASE("L1 a primary that is slow from its first view on serves whatever is sent") {
  for (const char* strategy : {"slow-primary", "throttling-primary"}) {
    CAPTURE(strategy);
    sim::SwarmOptions options;
    options.strategy = strategy;
    options.calm = true;
    const sim::SwarmRun run = sim::run_swarm(sim::kLoaded, options);
    for (const std::string& violation : run.report.violations) FAIL_CHECK(violation);
    CHECK(run.report.completed);
    CHECK(run.report.view_changes == 0);
    CHECK(run.report.acknowledged > 100);
    CHECK(run.lies > 100);
  }
}

TEST_CASE("swarm: a seed reproduces its run exactly, with its schedule given or not") {
  for (std::uint64_t seed : {3ULL, 8ULL, 21ULL}) {
    const sim::SwarmRun a = sim::run_swarm(seed);
    const sim::SwarmRun b = sim::run_swarm(seed);
    CHECK(a.report.digest == b.report.digest);
    CHECK(a.report.delivered == b.report.delivered);
    CHECK(a.report.virtual_us == b.report.virtual_us);
  }
  sim::Plan plan;
  plan.crashes = 3;
  plan.partitions = 2;
  plan.network.loss = 50;
  const auto run = [](const sim::Plan& p) {
    return sim::Cluster(p, sim::toy_machine, sim::memory_log, sim::noop_bundle).run();
  };
  const sim::Report first = run(plan);
  plan.schedule = first.schedule;
  const sim::Report again = run(plan);
  CHECK(first.digest == again.digest);
  CHECK(first.delivered == again.delivered);
}

namespace {

// A small run of the production engine and log on a good network.
sim::Plan quiet_plan() {
  sim::Plan plan;
  plan.clients = 2;
  plan.bundles_per_client = 4;
  plan.think_max_us = 1'000;
  plan.schedule.emplace();
  return plan;
}

std::unique_ptr<sim::Cluster> engine_cluster(const sim::Plan& plan) {
  return std::make_unique<sim::Cluster>(
      plan, sim::EngineMachine::genesis,
      [](sim::Random r) { return std::make_unique<sim::DiskLog>(r); }, sim::noop_bundle);
}

std::string first_violation(const sim::Cluster& cluster) {
  const auto& all = cluster.oracles().violations();
  return all.empty() ? "" : all.front();
}

bool everything_done(const sim::Cluster& cluster) {
  return cluster.clients_done() && cluster.caught_up();
}

constexpr std::uint64_t kPatienceUs = 60'000'000;

// Stops after `events` events of the run; then the power of `replicas` fails, and comes back.
void cut_power_after(std::uint64_t events, std::uint32_t replicas, sim::Survival survival) {
  const auto cluster = engine_cluster(quiet_plan());
  cluster->start_all();
  cluster->run_until([&] { return cluster->scheduler().executed() >= events; }, kPatienceUs);
  for (messages::ReplicaId r = 0; r < 4; ++r)
    if ((replicas >> r & 1) != 0) cluster->host(r).crash(survival);
  cluster->run_for(2'000);
  for (messages::ReplicaId r = 0; r < 4; ++r) cluster->start(r);
  const bool done = cluster->run_until([&] { return everything_done(*cluster); }, kPatienceUs);
  cluster->finish();
  INFO("after event " << events << ", replicas " << sim::replica_set(replicas));
  CHECK(done);
  CHECK(first_violation(*cluster) == "");
}

}  // namespace

TEST_CASE("T3.1 power cut of one replica, and of all, at every stage of a run") {
  const auto recorded = engine_cluster(quiet_plan());
  recorded->start_all();
  REQUIRE(recorded->run_until([&] { return everything_done(*recorded); }, kPatienceUs));
  const std::uint64_t events = recorded->scheduler().executed();
  REQUIRE(events > 200);
  constexpr std::uint64_t kSteps = 60;  // all of them take minutes; a prime stride meets each kind
  const std::uint64_t stride = events / kSteps | 1;
  std::uint32_t turn = 0;
  for (std::uint64_t at = 1; at < events; at += stride, ++turn) {
    cut_power_after(at, 0xf, turn % 2 == 0 ? sim::Survival::none : sim::Survival::some);
    cut_power_after(at, 1U << turn % 4, sim::Survival::none);
  }
}

TEST_CASE("T3.11 a restart of any replica at each step of a view change, nothing executed yet") {
  for (std::uint64_t step_us = 0; step_us <= 3'000; step_us += 300) {
    for (messages::ReplicaId victim = 0; victim < 4; ++victim) {
      sim::Plan plan = quiet_plan();
      plan.bundles_per_client = 0;
      plan.seed = 1 + step_us + victim;
      const auto cluster = engine_cluster(plan);
      cluster->start_all();
      cluster->run_for(50'000);
      cluster->host(0).kill();  // a primary that restarts leaves its view
      cluster->start(0);
      cluster->run_for(step_us);
      cluster->host(victim).crash(sim::Survival::none);
      cluster->run_for(1'000);
      cluster->start(victim);
      const auto settled = [&] {
        for (messages::ReplicaId r = 0; r < 4; ++r)
          if (!cluster->host(r).core().active() ||
              cluster->host(r).core().view() != cluster->highest_view())
            return false;
        return true;
      };
      INFO("step " << step_us << " us, replica " << victim);
      CHECK(cluster->run_until(settled, kPatienceUs));
      for (std::uint32_t c = 0; c < plan.clients; ++c) cluster->client(c).add_bundles(2);
      CHECK(cluster->run_until([&] { return everything_done(*cluster); }, kPatienceUs));
      cluster->finish();
      CHECK(first_violation(*cluster) == "");
    }
  }
}
