// T8.4: a hundred hostile clients of every kind beside ten good ones. Virtual time: what a check of
// a signature or a flooded socket costs is not seen here, but turns, queues, windows and bytes are.
#include <doctest/doctest.h>

#include "sim/adversary.hpp"
#include "sim/engine_machine.hpp"
#include "sim/toy_cluster.hpp"

using namespace bftmeta;

namespace {

constexpr std::uint32_t kGood = 10;
constexpr std::size_t kHostile = 100;

struct Service {
  std::uint64_t took_us = 0;     // until the good clients were done
  std::uint64_t p99_gap_us = 0;  // between two answers to one good client
  std::uint64_t lies = 0;
};

std::vector<const adversary::NamedClient*> crowd() {
  std::vector<const adversary::NamedClient*> clients;
  const auto& kinds = adversary::all_hostile_clients();
  while (clients.size() < kHostile) clients.push_back(&kinds[clients.size() % kinds.size()]);
  return clients;
}

Service serve(std::uint32_t n, bool flooded) {
  sim::Plan plan;
  plan.n = n;
  plan.clients = kGood;
  plan.bundles_per_client = 200;
  plan.think_max_us = 0;
  plan.schedule.emplace();
  sim::Attack attack;
  if (flooded) attack.crowd = crowd();
  sim::Adversary evil(plan, sim::EngineMachine::genesis, attack);
  sim::Cluster cluster(plan, sim::EngineMachine::genesis, sim::memory_log, sim::noop_bundle);
  evil.attach(cluster);
  cluster.network().faults().bytes_per_s = 20'000'000;
  cluster.network().set_faults(true);
  cluster.start_all();
  for (messages::ReplicaId r = 0; r < n; ++r) cluster.host(r).slow_execution(1'000);

  Service service;
  std::vector<std::uint64_t> gaps;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> last(kGood);  // bundles, when
  const std::uint64_t began = cluster.now_us();
  while (!cluster.clients_done() && cluster.age_us() < 120'000'000) {
    cluster.run_for(100);
    for (std::uint32_t c = 0; c < kGood; ++c) {
      const std::uint64_t done = cluster.client(c).acknowledged();
      if (done == last[c].first) continue;
      if (last[c].first != 0) gaps.push_back(cluster.now_us() - last[c].second);
      last[c] = {done, cluster.now_us()};
    }
  }
  service.took_us = cluster.now_us() - began;
  CHECK(cluster.clients_done());
  CHECK(cluster.highest_view() == 0);
  cluster.run_for(2'000'000);
  CHECK(cluster.caught_up());
  cluster.finish();
  for (const std::string& v : cluster.oracles().violations()) FAIL_CHECK(v);
  for (std::uint32_t c = 0; c < kGood; ++c)
    CHECK(cluster.client(c).acknowledged() == plan.bundles_per_client);
  REQUIRE(gaps.size() > 100);
  std::ranges::sort(gaps);
  service.p99_gap_us = gaps[gaps.size() * 99 / 100];
  service.lies = evil.client_lies();
  return service;
}

}  // namespace

TEST_CASE("T8.4 a hundred hostile clients: ten good ones keep half their rate; no view change") {
  for (const std::uint32_t n : {4U, 7U}) {
    CAPTURE(n);
    const Service quiet = serve(n, false);
    const Service flooded = serve(n, true);
    CAPTURE(quiet.took_us);
    CAPTURE(flooded.took_us);
    CAPTURE(quiet.p99_gap_us);
    CAPTURE(flooded.p99_gap_us);
    CHECK(quiet.lies == 0);
    CHECK(flooded.lies > 10 * kHostile);
    CHECK(flooded.took_us <= 2 * quiet.took_us);
    CHECK(flooded.p99_gap_us < 10 * quiet.p99_gap_us);
  }
}
