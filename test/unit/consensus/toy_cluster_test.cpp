#include <doctest/doctest.h>

#include "sim/toy_cluster.hpp"

using namespace bftmeta;

namespace {

sim::Report run(sim::Plan plan) {
  const std::uint64_t seed = plan.seed;
  const std::uint32_t n = plan.n;
  sim::Cluster cluster(std::move(plan), sim::toy_machine, sim::memory_log, sim::noop_bundle);
  const sim::Report report = cluster.run();
  INFO("seed " << seed);
  for (const std::string& v : report.violations) FAIL_CHECK(v);
  CHECK(report.completed);
  for (messages::ReplicaId r = 0; r < n; ++r)
    if (cluster.host(r).up()) CHECK(cluster.host(r).core().distrusted() == 0);
  return report;
}

}  // namespace

TEST_CASE("fault-free: everything is done, nobody changes the view") {
  for (std::uint32_t n : {4U, 7U}) {
    sim::Plan plan;
    plan.n = n;
    const sim::Report report = run(plan);
    CHECK(report.view_changes == 0);
    CHECK(report.acknowledged == 3 * 40);
  }
}

TEST_CASE("one seed gives one history") {
  sim::Plan plan;
  plan.seed = 7;
  plan.network.loss = 50;
  plan.crashes = 2;
  CHECK(run(plan).digest == run(plan).digest);
}

TEST_CASE("loss, duplication and reordering") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    sim::Plan plan;
    plan.seed = seed;
    plan.n = seed % 4 == 0 ? 7 : 4;
    plan.network = {.loss = 200,
                    .duplicate = 100,
                    .delay_min_us = 50,
                    .delay_max_us = 20'000,
                    .slow = 50,
                    .slow_us = 200'000};
    run(plan);
  }
}

TEST_CASE("crashes of any set of replicas, with loss of what was not synced") {
  for (std::uint64_t seed = 100; seed < 160; ++seed) {
    sim::Plan plan;
    plan.seed = seed;
    plan.crashes = 6;
    plan.crash_all = seed % 2 == 0;
    plan.network.loss = 20;
    run(plan);
  }
}

TEST_CASE("partitions with crashes") {
  for (std::uint64_t seed = 200; seed < 240; ++seed) {
    sim::Plan plan;
    plan.seed = seed;
    plan.partitions = 6;
    plan.crashes = 3;
    plan.crash_all = true;
    plan.network.loss = 50;
    run(plan);
  }
}
