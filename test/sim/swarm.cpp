#include "sim/swarm.hpp"

#include "adversary/strategies.hpp"
#include "base/assert.hpp"
#include "sim/disk_log.hpp"
#include "sim/engine_machine.hpp"
#include "sim/minimize.hpp"

namespace bftmeta::sim {

namespace {

schema::Name random_name(Random& random) {
  return {to_bytes("n" + std::to_string(random.below(12)))};
}

// Operations over few names and inodes, so that they meet: most succeed, many fail, all are
// decided.
schema::Operation random_operation(Random& random) {
  schema::Operation op;
  op.caller.uid = static_cast<std::uint32_t>(random.below(3)) * 1000;
  const std::uint64_t dir = random.below(4) == 0 ? 1 + random.below(6) : 1;
  switch (random.below(8)) {
    case 0:
    case 1: {
      schema::MakeNode make;
      make.parent.base = dir;
      make.name = random_name(random);
      make.type = random.chance(300) ? schema::FileType::directory : schema::FileType::regular;
      make.mode = 0777;
      op.body = make;
      break;
    }
    case 2: {
      schema::Remove remove;
      remove.parent.base = dir;
      remove.name = random_name(random);
      remove.directory = random.chance(300);
      op.body = remove;
      break;
    }
    case 3: {
      schema::Rename rename;
      rename.from_parent.base = dir;
      rename.from_name = random_name(random);
      rename.to_name = random_name(random);
      op.body = rename;
      break;
    }
    case 4: {
      schema::CommitData commit;
      commit.ino = 1 + random.below(20);
      commit.expected_version = 1 + random.below(3);
      commit.new_size = 5;
      commit.inline_data = schema::Content{schema::kRecordFormat, to_bytes("hello")};
      op.body = commit;
      break;
    }
    case 5: {
      schema::SetAttributes set;
      set.target.base = 1 + random.below(20);
      set.mask = schema::set_mask::kMode;
      set.mode = static_cast<std::uint16_t>(random.below(01000));
      op.body = set;
      break;
    }
    default: break;  // Noop
  }
  return op;
}

std::vector<schema::Operation> random_bundle(Random& random) {
  std::vector<schema::Operation> ops;
  for (std::uint64_t n = random.between(1, 8); n > 0; --n) ops.push_back(random_operation(random));
  return ops;
}

// A few links that carry a message in 50 us and a few that take 40 ms; half of all runs lose some.
NetworkFaults network_for(Random& random) {
  NetworkFaults network;
  if (random.chance(500)) network.loss = static_cast<std::uint32_t>(random.below(250));
  if (random.chance(300)) network.duplicate = static_cast<std::uint32_t>(random.below(200));
  if (random.chance(400)) network.delay_max_us = random.between(1'000, 40'000);
  if (random.chance(200)) network.slow = static_cast<std::uint32_t>(random.below(50));
  if (random.chance(100)) network.bytes_per_s = random.between(200'000, 4'000'000);
  return network;
}

std::uint32_t up_to(Random& random, std::uint32_t per_mille, std::uint64_t most) {
  return random.chance(per_mille) ? static_cast<std::uint32_t>(random.between(1, most)) : 0;
}

// L1: what a faulty primary may cost after the faults, a request's longest age and a view change
// that fails, both with the patience that three seconds of faults can have made; and everything
// else.
constexpr std::uint64_t kPerFaultyPrimaryUs = 16'000'000;
constexpr std::uint64_t kCatchUpUs = 24'000'000;

Plan plan_for(std::uint64_t seed, const SwarmOptions& options, Random& random) {
  Plan plan;
  plan.seed = seed;
  plan.n = options.n != 0 ? options.n : (random.chance(250) ? 7 : 4);
  plan.heal_us = (plan.n - 1) / 3 * kPerFaultyPrimaryUs + kCatchUpUs;
  plan.bundles_per_client = 25;
  plan.window_us = 3'000'000;
  plan.reads = 400;
  plan.reference = random.chance(250);
  plan.final_power_cut = random.chance(300);
  plan.network = network_for(random);
  plan.crashes = up_to(random, 400, 6);
  plan.crash_all = random.chance(500);
  plan.kills = up_to(random, 200, 4);
  plan.partitions = up_to(random, 250, 4);
  plan.one_ways = up_to(random, 200, 4);
  plan.stalls = up_to(random, 200, 4);
  plan.clocks = up_to(random, 200, 4);
  plan.disks = up_to(random, 250, 4);
  return plan;
}

// At most f replicas are faulty, in whatever way: first those that a strategy drives, then one
// whose disk rots or whose frames are bent.
class Villains {
 public:
  Villains(Plan& plan, const SwarmOptions& options, Random& random)
      : plan_(plan), options_(options), random_(random), left_((plan.n - 1) / 3) {}

  // The names of the strategies, or "none".
  std::string choose() {
    const auto& all = adversary::all_strategies();
    const auto any = [&] { return std::string(all[random_.below(all.size())].name); };
    std::string first = options_.strategy.substr(0, options_.strategy.find('+'));
    if (first.empty()) first = random_.chance(600) ? any() : "none";
    std::string names = first;
    if (first != "none") {
      add(first);
      // Another one beside it, of the same mind or not.
      std::string second;
      if (names.size() < options_.strategy.size())
        second = options_.strategy.substr(names.size() + 1);
      else if (random_.chance(600))
        second = options_.strategy.empty() && random_.chance(500) ? any() : first;
      if (left_ > 0 && !second.empty()) {
        add(second);
        names += "+" + second;
      }
    }
    if (left_ > 0 && random_.chance(200)) {
      plan_.rotten = 1U << somebody();
      plan_.rots = static_cast<std::uint32_t>(random_.between(1, 4));
    } else if (left_ > 0 && random_.chance(150)) {
      plan_.corrupting = 1U << somebody();
      plan_.network.corrupt = static_cast<std::uint32_t>(random_.between(10, 500));
    }
    return names;
  }
  std::uint64_t lies() const {
    std::uint64_t total = 0;
    for (const auto& counter : *lies_) total += *counter;
    return total;
  }

 private:
  using Counters = std::vector<std::shared_ptr<const std::atomic<std::uint64_t>>>;

  // The primary of view 0 more often than chance has it.
  messages::ReplicaId somebody() {
    while (true) {
      const auto id =
          static_cast<messages::ReplicaId>(random_.chance(400) ? 0 : random_.below(plan_.n));
      if (!plan_.byzantine.contains(id)) return id;
    }
  }
  void add(const std::string& strategy) {
    const adversary::Maker make = adversary::find_strategy(strategy);
    BFTMETA_ASSERT(make != nullptr);
    const messages::ReplicaId evil = somebody();
    --left_;
    plan_.byzantine[evil] = [make, evil, lies = lies_](const config::Genesis& genesis,
                                                       const crypto::Signer& signer, Random) {
      auto instance = make({evil, genesis.cluster_id(), genesis.config, &signer});
      lies->push_back(instance->lies());
      return instance;
    };
  }

  Plan& plan_;
  const SwarmOptions& options_;
  Random& random_;
  std::uint32_t left_;
  std::shared_ptr<Counters> lies_ = std::make_shared<Counters>();
};

Report run_plan(const Plan& plan, std::string* diagram) {
  Cluster cluster(
      plan, EngineMachine::genesis, [](Random r) { return std::make_unique<DiskLog>(r); },
      random_bundle);
  Report report = cluster.run();
  constexpr std::size_t kShown = 40;  // messages; more do not fit a screen
  if (!report.violations.empty()) *diagram = cluster.trace().mermaid(kShown);
  return report;
}

}  // namespace

std::string unknown_strategy(const std::string& names) {
  for (std::string rest = names; !rest.empty();) {
    const std::string name = rest.substr(0, rest.find('+'));
    if (name != "none" && adversary::find_strategy(name) == nullptr) return name;
    rest = name.size() < rest.size() ? rest.substr(name.size() + 1) : "";
  }
  return "";
}

SwarmRun run_swarm(std::uint64_t seed, const SwarmOptions& options) {
  Random random(seed ^ 0x5eed'5eed'5eed'5eed);
  SwarmRun run;
  run.plan = plan_for(seed, options, random);
  Villains villains(run.plan, options, random);
  run.strategy = villains.choose();
  run.report = run_plan(run.plan, &run.diagram);
  run.lies = villains.lies();
  return run;
}

std::string explain(std::uint64_t seed, const SwarmRun& run) {
  std::string diagram;
  const Minimized smallest =
      minimize(run.plan, run.report, [&](const Plan& plan) { return run_plan(plan, &diagram); });
  run_plan(smallest.plan, &diagram);
  std::string out = "seed " + std::to_string(seed) + " (" + run.strategy + "):\n";
  for (const std::string& violation : run.report.violations) out += "  " + violation + "\n";
  return out + describe(smallest) + diagram;
}

}  // namespace bftmeta::sim
