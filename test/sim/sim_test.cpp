#include <doctest/doctest.h>

#include "sim/swarm.hpp"

using namespace bftmeta;

// The fixed seeds of the test suite; `simulate` runs as many as wanted.
TEST_CASE("swarm: every oracle holds on three hundred seeds") {
  std::uint64_t batches = 0;
  std::uint64_t lies = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const sim::SwarmRun run = sim::run_swarm(seed);
    INFO("seed " << seed << " strategy " << run.strategy);
    for (const std::string& v : run.report.violations) FAIL_CHECK(v);
    CHECK(run.report.completed);
    batches += run.report.batches;
    lies += run.lies;
  }
  CHECK(batches > 3000);
  CHECK(lies > 300);
}

TEST_CASE("swarm: a seed reproduces its run exactly") {
  for (std::uint64_t seed : {3ULL, 8ULL, 21ULL}) {
    const sim::Report a = sim::run_swarm(seed).report;
    const sim::Report b = sim::run_swarm(seed).report;
    CHECK(a.digest == b.digest);
    CHECK(a.delivered == b.delivered);
    CHECK(a.virtual_us == b.virtual_us);
  }
}

// Found by the swarm: a certificate survived a power cut of all replicas at replicas that had not
// executed its batch, the executors' records did not.
TEST_CASE("T4.6 certified, but no executor left: P-entries of a quorum name the batch") {
  const sim::SwarmRun run = sim::run_swarm(1141);
  for (const std::string& v : run.report.violations) FAIL_CHECK(v);
  CHECK(run.report.completed);
}
