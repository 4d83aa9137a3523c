#include <doctest/doctest.h>

#include "adversary/strategies.hpp"
#include "sim/cluster.hpp"
#include "sim/toy_machine.hpp"

using namespace bftmeta;

namespace {

std::unique_ptr<sim::Machine> toy(const config::Genesis& genesis, const crypto::Verifier&) {
  return std::make_unique<sim::ToyMachine>(genesis.cluster_id(), genesis.config);
}
std::unique_ptr<sim::LogDevice> memory_log(sim::Random) {
  return std::make_unique<sim::MemoryLog>();
}
std::vector<schema::Operation> noop(sim::Random&) { return {schema::Operation{}}; }

// Runs `seeds` schedules with replica `evil` under the strategy, with crashes and loss on top.
void run_with(adversary::Maker make, messages::ReplicaId evil, std::uint64_t seeds) {
  std::uint64_t lies = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    sim::Plan plan;
    plan.seed = 1000 * evil + seed;
    plan.network.loss = seed % 3 == 0 ? 50 : 0;
    plan.crashes = seed % 2 == 0 ? 3 : 0;
    plan.crash_all = true;
    std::shared_ptr<const std::atomic<std::uint64_t>> counter;
    plan.byzantine[evil] = [&](const config::Genesis& genesis, const crypto::Signer& signer,
                               sim::Random) {
      auto strategy = make({evil, genesis.cluster_id(), genesis.config, &signer});
      counter = strategy->lies();
      return strategy;
    };
    sim::Cluster cluster(plan, toy, memory_log, noop);
    const sim::Report report = cluster.run();
    INFO("seed " << plan.seed);
    for (const std::string& v : report.violations) FAIL_CHECK(v);
    CHECK(report.completed);
    // Correct replicas relay only what they have verified.
    for (messages::ReplicaId r = 0; r < 4; ++r)
      if (r != evil && cluster.host(r).up())
        CHECK((cluster.host(r).core().distrusted() & ~(1U << evil)) == 0);
    lies += *counter;
  }
  CHECK(lies > 0);
}

}  // namespace

TEST_CASE("strategy 6: a silent primary costs a view change, nothing else") {
  run_with(adversary::silent_primary, 0, 20);
}
TEST_CASE("strategy 3: an equivocating primary never splits the replicas") {
  run_with(adversary::equivocating_primary, 0, 20);
}
TEST_CASE("strategy 22: no root shares from one replica") { run_with(adversary::no_shares, 2, 12); }
TEST_CASE("strategy 23: root shares for a wrong root") { run_with(adversary::wrong_shares, 1, 12); }
TEST_CASE("T1.1 strategy 19: PREPAREs with broken signatures over a valid link") {
  run_with(adversary::broken_prepares, 3, 20);
}
