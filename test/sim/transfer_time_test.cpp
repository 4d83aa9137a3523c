// What f liars cost who fetches the state (T7.4): the same run with them and with correct replicas
// in their place, in virtual time.
#include <doctest/doctest.h>

#include "sim/adversary.hpp"
#include "sim/engine_machine.hpp"
#include "sim/swarm.hpp"

using namespace bftmeta;
using messages::ReplicaId;

namespace {

constexpr std::uint64_t kSecondUs = 1'000'000;
constexpr std::uint64_t kLimitUs = 120 * kSecondUs;

// Eight files each, so that a state takes several rounds of questions.
std::vector<schema::Operation> eight_files(sim::Random& random) {
  std::vector<schema::Operation> operations;
  for (int i = 0; i < 8; ++i) {
    schema::MakeNode make;
    make.name.bytes = to_bytes("f" + std::to_string(random.below(1'000'000)));
    make.mode = 0644;
    operations.emplace_back().body = make;
  }
  return operations;
}

struct Run {
  std::uint64_t fetching_us = 0;  // from the start to everybody having caught up
  std::uint64_t lies = 0;
};

// The last replica was down until nobody had the history that it lacks; now it starts.
class Lagging {
 public:
  Lagging(std::uint64_t seed, std::uint32_t n, const adversary::Named* strategy)
      : plan_(plan_for(seed, n)), evil_(plan_, sim::EngineMachine::genesis, attack(strategy)) {
    cluster_ = std::make_unique<sim::Cluster>(
        plan_, sim::EngineMachine::genesis, [this](sim::Random r) { return make_log(plan_, r); },
        eight_files);
    evil_.attach(*cluster_);
  }

  Run run() {
    cluster_->start_all();
    load(20);
    last().kill();
    if (plan_.seed % 2 != 0) last().lose_state();
    load(30);
    for (int round = 0; round < 2; ++round)
      for (ReplicaId r = 0; r + 1 < plan_.n; ++r) {
        cluster_->host(r).kill();
        cluster_->start(r);
        load(1);
      }
    cluster_->network().faults().delay_max_us = 50'000;
    cluster_->network().set_faults(true);
    const std::uint64_t lied = evil_.lies();
    const std::uint64_t begin = cluster_->now_us();
    cluster_->start(last().id());
    CHECK(cluster_->run_until([this] { return cluster_->caught_up(); }, kLimitUs));
    CHECK(last().transfers() >= 1);
    const std::uint64_t took = cluster_->now_us() - begin;
    cluster_->run_for(kSecondUs);  // what is told late leaves late
    const Run done{took, evil_.lies() - lied};
    cluster_->finish();
    for (const std::string& v : cluster_->oracles().violations()) FAIL_CHECK(v);
    return done;
  }

 private:
  static sim::Plan plan_for(std::uint64_t seed, std::uint32_t n) {
    sim::Plan plan;
    plan.seed = seed;
    plan.n = n;
    plan.bundles_per_client = 0;
    plan.think_max_us = 2'000;
    add_outage(plan, n - 1);
    plan.schedule.emplace();  // by hand
    plan.bundles_per_client = 0;
    for (ReplicaId r = 0; r < (n - 1) / 3; ++r) plan.byzantine[r] = nullptr;
    return plan;
  }
  sim::Attack attack(const adversary::Named* strategy) const {
    std::vector<ReplicaId> members;
    for (const auto& [r, make] : plan_.byzantine) members.push_back(r);
    return {strategy, members, nullptr, plan_.seed};
  }
  sim::Host& last() { return cluster_->host(plan_.n - 1); }
  // ... and a flush of what it does.
  void load(std::uint32_t bundles) {
    for (std::uint32_t c = 0; c < plan_.clients; ++c) cluster_->client(c).add_bundles(bundles);
    REQUIRE(cluster_->run_until([this] { return cluster_->clients_done(); }, kLimitUs));
    cluster_->run_for(kSecondUs);
  }

  sim::Plan plan_;
  sim::Adversary evil_;
  std::unique_ptr<sim::Cluster> cluster_;
};

}  // namespace

// A second for each: what an answer may take (transfer::Timing::answer).
TEST_CASE("T7.4 f liars cost at most twice the time and a second each, and never a wrong byte") {
  std::map<std::string, std::uint64_t> lies;
  for (const std::uint32_t n : {4U, 7U})
    for (const std::uint64_t seed : {1U, 2U, 3U, 4U}) {
      const Run honest = Lagging(seed, n, nullptr).run();
      for (const adversary::Named& strategy : adversary::all_strategies()) {
        if (!strategy.transfer) continue;
        CAPTURE(std::string(strategy.name));
        CAPTURE(n);
        CAPTURE(seed);
        CAPTURE(honest.fetching_us);
        const Run run = Lagging(seed, n, &strategy).run();
        const std::uint64_t f = (n - 1) / 3;
        CHECK(run.fetching_us <= 2 * honest.fetching_us + f * kSecondUs);
        lies[strategy.name] += run.lies;
      }
    }
  for (const auto& [name, told] : lies) {
    CAPTURE(name);
    CHECK(told >= 6);
  }
}
