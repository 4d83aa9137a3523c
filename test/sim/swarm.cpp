#include "sim/swarm.hpp"

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

Plan calm_plan(std::uint64_t seed) {
  Plan plan;
  plan.seed = seed;
  plan.heal_us = kPerFaultyPrimaryUs + kCatchUpUs;
  plan.bundles_per_client = 40;
  plan.think_max_us = 4'000'000;  // the soonest of eight bundles counts
  plan.window_us = 2'000'000;
  plan.reads = 400;
  plan.reference = true;
  if (seed >= kBusy) {
    plan.bundles_per_client = 200;
    plan.think_max_us = 50'000;
    plan.window_us = 5'000'000;
    plan.network.loss = 50;
    plan.network.slow = 100;
    return plan;
  }
  if (seed >= kLoaded) {  // long enough to see how fast a primary could be (protocol §5.5)
    plan.bundles_per_client = 850;
    plan.reads = 0;
    if (seed % 2 == 0) {
      // The first primary shows it, or does not: one that was never fast is not suspected for that
      // (protocol §5.5), so there is no bound for all of the load, only for what is sent.
      plan.load_us = 30'000'000;
      return plan;
    }
    // The first primary shows it, then there is another one: all of the load in time (L6).
    constexpr std::uint64_t kSeenUs = 14'000'000;
    plan.window_us = kSeenUs + 1'000'000;
    plan.schedule = {
        {.at_us = kSeenUs, .kind = FaultKind::power_cut, .replicas = 1, .for_us = 100'000}};
    return plan;
  }
  if (seed % 3 == 1) plan.crashes = 2;
  plan.crash_all = seed % 2 == 1;
  if (seed % 3 == 2) plan.partitions = 1;
  return plan;
}

Plan plan_for(std::uint64_t seed, const SwarmOptions& options, bool reconfigure, Random& random) {
  if (options.calm) return calm_plan(seed);
  Plan plan;
  plan.seed = seed;
  plan.n = reconfigure ? 4 : options.n != 0 ? options.n : (random.chance(250) ? 7 : 4);
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

// At most f of the replicas, often the first primary among them.
std::vector<messages::ReplicaId> pick_members(std::uint32_t n, Random& random) {
  const std::uint64_t count = random.between(1, (n - 1) / 3);
  std::set<messages::ReplicaId> members;
  if (random.chance(500)) members.insert(0);
  while (members.size() < count) members.insert(static_cast<messages::ReplicaId>(random.below(n)));
  return {members.begin(), members.end()};
}

// Of four that become seven and four again: one of those that stay, and one or two of those that
// come and go, two of the seven at most.
std::vector<messages::ReplicaId> pick_of_both(const Plan& plan, Random& random) {
  constexpr std::uint32_t kStays = 700;
  const std::uint64_t count = random.between(1, 2);
  std::set<messages::ReplicaId> members;
  if (random.chance(kStays))
    members.insert(static_cast<messages::ReplicaId>(random.chance(500) ? 0 : random.below(plan.n)));
  while (members.size() < count)
    members.insert(static_cast<messages::ReplicaId>(plan.n + random.below(plan.learners)));
  return {members.begin(), members.end()};
}

// Each strategy has its turn, so that 2000 seeds have seen every one at least 30 times; the other
// runs have no lying replica, or one with a bad disk.
Attack attack_for(std::uint64_t seed, const SwarmOptions& options) {
  constexpr std::size_t kTurnsWithout = 2;
  constexpr std::size_t kTurnsPerClient = 5;
  const auto& strategies = adversary::all_strategies();
  const auto& clients = adversary::all_hostile_clients();
  Attack attack;
  if (options.strategy.empty()) {
    const std::size_t turn = seed % (strategies.size() + kTurnsWithout);
    if (turn < strategies.size()) attack.strategy = &strategies[turn];
    const std::size_t client_turn = seed % (clients.size() * kTurnsPerClient);
    if (client_turn < clients.size()) attack.client = &clients[client_turn];
  } else if (options.strategy != "none") {
    attack.strategy = adversary::find_strategy(options.strategy);
    attack.client = adversary::find_hostile_client(options.strategy);
    BFTMETA_ASSERT(attack.strategy != nullptr || attack.client != nullptr);
  }
  return attack;
}

void choose_members(Attack& attack, const Plan& plan, bool calm, Random& random) {
  if (attack.strategy != nullptr)
    attack.members = plan.learners != 0 ? pick_of_both(plan, random) : pick_members(plan.n, random);
  if (attack.strategy != nullptr && calm && plan.seed >= kLoaded && plan.seed < kBusy)
    attack.members = {static_cast<messages::ReplicaId>(plan.seed % 2)};
  attack.seed = random.next();
}

// Whether one of those that stay may be faulty, too.
bool room_for_one(const Plan& plan) {
  const auto staying = std::ranges::count_if(
      plan.byzantine, [&](const auto& faulty) { return faulty.first < plan.n; });
  const std::uint32_t most = plan.n + plan.learners;
  return staying < (plan.n - 1) / 3 && plan.byzantine.size() < (most - 1) / 3;
}

// If there may be one more faulty replica: its disk rots, or its frames are bent.
void add_damage(Plan& plan, Random& random) {
  if (!room_for_one(plan)) return;
  messages::ReplicaId one = 0;
  do {
    one = static_cast<messages::ReplicaId>(random.chance(400) ? 0 : random.below(plan.n));
  } while (plan.byzantine.contains(one));
  if (random.chance(200)) {
    plan.rotten = 1U << one;
    plan.rots = static_cast<std::uint32_t>(random.between(1, 4));
  } else if (random.chance(150)) {
    plan.corrupting = 1U << one;
    plan.network.corrupt = static_cast<std::uint32_t>(random.between(10, 500));
  }
}

// Always for strategies that wait for that, sometimes for others.
bool needs_outage(const Attack& attack, bool calm, Random& random) {
  constexpr std::uint32_t kOften = 60;
  if (attack.strategy != nullptr && attack.strategy->transfer) return true;
  return !calm && random.chance(kOften);
}

messages::ReplicaId pick_correct(const Plan& plan, Random& random) {
  messages::ReplicaId one = 0;
  do {
    one = static_cast<messages::ReplicaId>(random.below(plan.n));
  } while (plan.byzantine.contains(one) || ((plan.rotten | plan.corrupting) >> one & 1) != 0);
  return one;
}

struct PlanRun {
  Report report;
  std::uint64_t lies = 0;
  std::string diagram;  // if an oracle fired
};

PlanRun run_plan(Plan plan, const Attack& attack) {
  Adversary evil(plan, EngineMachine::genesis, attack);
  Cluster cluster(
      plan, EngineMachine::genesis, [&plan](Random r) { return make_log(plan, r); }, random_bundle);
  evil.attach(cluster);
  PlanRun run;
  run.report = cluster.run();
  run.lies = evil.lies() + evil.client_lies();
  constexpr std::size_t kShown = 40;  // messages; more do not fit a screen
  if (!run.report.violations.empty()) run.diagram = cluster.trace().mermaid(kShown);
  return run;
}

}  // namespace

std::string SwarmRun::name() const {
  const std::string who = attack.strategy == nullptr ? "" : attack.strategy->name;
  if (attack.client == nullptr) return who.empty() ? "none" : who;
  return (who.empty() ? "" : who + "+") + attack.client->name;
}

void add_memberships(Plan& plan) {
  plan.n = 4;
  plan.learners = 3;
  plan.memberships = {7, 4};
  plan.heal_us *= 2;  // two epochs end behind the faults
}

void add_outage(Plan& plan, messages::ReplicaId absent) {
  plan.outages = 1;
  plan.absent = 1U << absent;
  // All others restart twice, and flush in between; work goes on meanwhile.
  constexpr std::uint64_t kPerReplicaUs = 1'500'000;
  plan.window_us = plan.n * kPerReplicaUs;
  plan.bundles_per_client = 15 * plan.n;
  plan.think_max_us = 400'000;
}

std::unique_ptr<LogDevice> make_log(const Plan& plan, Random random) {
  return std::make_unique<DiskLog>(random, plan.outages == 0 ? DiskLog::kRetainBytes : 0);
}

SwarmRun run_swarm(std::uint64_t seed, const SwarmOptions& options) {
  Random random(seed ^ 0x5eed'5eed'5eed'5eed);
  SwarmRun run;
  run.attack = attack_for(seed, options);
  const adversary::Named* const strategy = run.attack.strategy;
  const bool reconfigure = options.reconfigure || (strategy != nullptr && strategy->epochs);
  run.plan = plan_for(seed, options, reconfigure, random);
  if (reconfigure) add_memberships(run.plan);
  choose_members(run.attack, run.plan, options.calm, random);
  for (const messages::ReplicaId r : run.attack.members) run.plan.byzantine[r] = nullptr;
  if (!options.calm) add_damage(run.plan, random);
  if (needs_outage(run.attack, options.calm, random))
    add_outage(run.plan, pick_correct(run.plan, random));
  PlanRun done = run_plan(run.plan, run.attack);
  run.report = std::move(done.report);
  run.lies = done.lies;
  return run;
}

std::string explain(const SwarmRun& run) {
  const Minimized smallest = minimize(
      run.plan, run.report, [&](const Plan& plan) { return run_plan(plan, run.attack).report; });
  std::string out = "seed " + std::to_string(run.plan.seed) + " (" + run.name() + "):\n";
  for (const std::string& violation : run.report.violations) out += "  " + violation + "\n";
  return out + describe(smallest) + run_plan(smallest.plan, run.attack).diagram;
}

}  // namespace bftmeta::sim
