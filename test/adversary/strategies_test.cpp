// Every strategy really misbehaves, and nothing comes of it: agreement holds and all clients are
// served, with crashes and loss on top, at n = 4 and at n = 7.
#include <doctest/doctest.h>

#include <set>

#include "sim/adversary.hpp"
#include "sim/engine_machine.hpp"
#include "sim/swarm.hpp"
#include "sim/toy_cluster.hpp"

using namespace bftmeta;
using messages::ReplicaId;

namespace {

sim::Plan plan_for(std::uint64_t seed, std::uint32_t n) {
  sim::Plan plan;
  plan.seed = seed;
  plan.n = n;
  plan.bundles_per_client = 30;
  plan.window_us = 3'000'000;
  plan.network.loss = seed % 3 == 0 ? 50 : 0;
  plan.crashes = seed % 2 == 0 ? 3 : 0;
  plan.crash_all = true;
  return plan;
}

// Runs the plan; the oracles must hold. How often the replicas and the clients misbehaved, and how
// many states were fetched.
struct Lies {
  std::uint64_t replicas = 0;
  std::uint64_t clients = 0;
  std::uint64_t transfers = 0;
};
Lies run(sim::Plan plan, sim::MachineFactory machine, const adversary::Named* strategy,
         const std::vector<ReplicaId>& members, const adversary::NamedClient* client) {
  sim::Adversary evil(plan, machine, {strategy, members, client, plan.seed});
  const sim::LogFactory log = plan.outages == 0
                                  ? sim::LogFactory(sim::memory_log)
                                  : [&plan](sim::Random r) { return make_log(plan, r); };
  sim::Cluster cluster(plan, machine, log, sim::noop_bundle);
  evil.attach(cluster);
  const sim::Report report = cluster.run();
  INFO("seed " << plan.seed << " n " << plan.n);
  for (const std::string& v : report.violations) FAIL_CHECK(v);
  CHECK(report.completed);
  // Correct replicas relay only what they have verified, so nobody distrusts them.
  std::uint32_t correct = (1U << plan.n) - 1;
  for (const ReplicaId r : members) correct &= ~(1U << r);
  for (ReplicaId r = 0; r < plan.n; ++r)
    if ((correct >> r & 1) != 0 && cluster.host(r).up())
      CHECK((cluster.host(r).core().distrusted() & correct) == 0);
  return {evil.lies(), evil.client_lies(), report.transfers};
}

// These speak in answers to clients, which prove nothing here: see proofs_test.cpp, evil_test.cpp
// and the swarm.
bool only_answers(const adversary::Named& strategy) {
  return strategy.number == 42 || strategy.number == 43;
}

// Strategies that lie to who fetches the state.
sim::Plan outage_plan(std::uint64_t seed, std::uint32_t n, ReplicaId absent) {
  sim::Plan plan = plan_for(seed, n);
  add_outage(plan, absent);
  return plan;
}

}  // namespace

TEST_CASE("every strategy misbehaves, and nothing comes of it") {
  for (const adversary::Named& strategy : adversary::all_strategies()) {
    if (strategy.transfer || strategy.epochs) continue;  // below
    CAPTURE(std::string(strategy.name));
    // Clients tell whether a session was opened twice; the toy does not remember.
    const sim::MachineFactory machine = strategy.client == nullptr
                                            ? sim::MachineFactory(sim::toy_machine)
                                            : sim::EngineMachine::genesis;
    std::uint64_t lies = 0;
    for (std::uint64_t seed = 1; seed <= 6; ++seed)
      lies += run(plan_for(seed, 4), machine, &strategy, {seed <= 4 ? 0U : 2U}, nullptr).replicas;
    for (std::uint64_t seed = 11; seed <= 13; ++seed)
      lies += run(plan_for(seed, 7), machine, &strategy, {0U, static_cast<ReplicaId>(1 + seed % 6)},
                  nullptr)
                  .replicas;
    if (!only_answers(strategy)) CHECK(lies > 0);
  }
}

TEST_CASE("41 every liar in a state transfer is asked, lies, and costs no wrong byte (T7.4)") {
  for (const adversary::Named& strategy : adversary::all_strategies()) {
    if (!strategy.transfer) continue;
    CAPTURE(std::string(strategy.name));
    Lies sum;
    const auto add = [&](const sim::Plan& plan, const std::vector<ReplicaId>& members) {
      const Lies some = run(plan, sim::EngineMachine::genesis, &strategy, members, nullptr);
      sum.replicas += some.replicas;
      sum.transfers += some.transfers;
    };
    for (std::uint64_t seed = 1; seed <= 6; ++seed)
      add(outage_plan(seed, 4, 3), {static_cast<ReplicaId>(seed % 3)});
    for (std::uint64_t seed = 11; seed <= 12; ++seed)
      add(outage_plan(seed, 7, 6), {0U, static_cast<ReplicaId>(1 + seed % 5)});
    CHECK(sum.transfers >= 4);
    CHECK(sum.replicas >= 3);
  }
}

TEST_CASE("49 50 65 members change beside a liar that joins, stays or leaves (T9.5, T9.6, T9.8)") {
  // Two of seven, of which one or none stays; nobody else of those that stay is faulty.
  const std::vector<std::vector<ReplicaId>> kWho = {{0, 5}, {4, 6}, {2, 4}, {0}, {5}};
  for (const adversary::Named& strategy : adversary::all_strategies()) {
    if (!strategy.epochs) continue;
    CAPTURE(std::string(strategy.name));
    for (std::size_t i = 0; i < kWho.size(); ++i) {
      std::uint64_t lies = 0;
      for (std::uint64_t seed = 1; seed <= 2; ++seed) {
        sim::Plan plan = plan_for(10 * i + seed, 4);
        add_memberships(plan);
        lies += run(plan, sim::EngineMachine::genesis, &strategy, kWho[i], nullptr).replicas;
      }
      // Who never was a member and left has no old epoch, and who never is the primary no say.
      const bool has_part = strategy.name != std::string("removed-member") || kWho[i].back() > 3;
      const bool proposes = strategy.number != 49 || kWho[i].front() == 0;
      INFO("members " << kWho[i].front() << " to " << kWho[i].back());
      if (has_part && proposes) CHECK(lies > 0);
    }
  }
}

TEST_CASE("T1.1 PREPAREs with broken signatures over a valid link") {
  for (std::uint64_t seed = 3001; seed <= 3020; ++seed) {
    sim::Plan plan = plan_for(seed, 4);
    plan.partitions = 2;
    CHECK(run(plan, sim::toy_machine, adversary::find_strategy("broken-prepares"), {3}, nullptr)
              .replicas > 0);
  }
}

TEST_CASE("every hostile client misbehaves, and correct clients are served") {
  for (const adversary::NamedClient& client : adversary::all_hostile_clients()) {
    CAPTURE(std::string(client.name));
    for (const std::uint32_t n : {4U, 7U})
      for (std::uint64_t seed = 21; seed <= 23; ++seed)
        CHECK(run(plan_for(seed, n), sim::EngineMachine::genesis, nullptr, {}, &client).clients >
              0);
  }
}

TEST_CASE("names and numbers: unique, in order, all of the design's list") {
  std::set<std::string> names;
  std::set<int> numbers;
  int last = 0;
  for (const adversary::Named& s : adversary::all_strategies()) {
    CHECK(names.insert(s.name).second);
    numbers.insert(s.number);
    CHECK(s.number >= last);
    last = s.number;
    CHECK(adversary::find_strategy(s.name) == &s);
    if (s.client != nullptr) CHECK(adversary::find_hostile_client(s.client) != nullptr);
  }
  for (const adversary::NamedClient& c : adversary::all_hostile_clients()) {
    CHECK(names.insert(c.name).second);
    numbers.insert(c.number);
  }
  for (int number = 1; number <= 65; ++number) {
    CAPTURE(number);
    CHECK(numbers.contains(number));
  }
}
