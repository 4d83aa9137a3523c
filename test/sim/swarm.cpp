#include "sim/swarm.hpp"

#include "base/assert.hpp"
#include "sim/adversary.hpp"
#include "sim/disk_log.hpp"
#include "sim/engine_machine.hpp"

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

Plan plan_for(std::uint64_t seed, const SwarmOptions& options, Random& random) {
  Plan plan;
  plan.seed = seed;
  plan.n = options.n != 0 ? options.n : (random.chance(250) ? 7 : 4);
  plan.bundles_per_client = 25;
  plan.fault_us = 3'000'000;
  if (random.chance(500)) plan.network.loss = static_cast<std::uint32_t>(random.below(250));
  if (random.chance(300)) plan.network.duplicate = static_cast<std::uint32_t>(random.below(200));
  if (random.chance(400)) plan.network.delay_max_us = random.between(1'000, 40'000);
  if (random.chance(200)) plan.network.slow = static_cast<std::uint32_t>(random.below(50));
  if (random.chance(500)) plan.crashes = static_cast<std::uint32_t>(random.between(1, 6));
  plan.crash_all = random.chance(500);
  if (random.chance(300)) plan.partitions = static_cast<std::uint32_t>(random.between(1, 4));
  return plan;
}

}  // namespace

namespace {

// At most f of the replicas, often the first primary among them.
std::vector<messages::ReplicaId> pick_members(std::uint32_t n, Random& random) {
  const std::uint64_t count = random.between(1, (n - 1) / 3);
  std::set<messages::ReplicaId> members;
  if (random.below(2) == 0) members.insert(0);
  while (members.size() < count) members.insert(static_cast<messages::ReplicaId>(random.below(n)));
  return {members.begin(), members.end()};
}

}  // namespace

SwarmRun run_swarm(std::uint64_t seed, const SwarmOptions& options) {
  Random random(seed ^ 0x5eed'5eed'5eed'5eed);
  Plan plan = plan_for(seed, options, random);
  const auto& strategies = adversary::all_strategies();
  const auto& clients = adversary::all_hostile_clients();
  const adversary::Named* strategy = nullptr;
  const adversary::NamedClient* client = nullptr;
  if (options.strategy.empty()) {
    if (random.chance(600)) strategy = &strategies[random.below(strategies.size())];
    if (random.chance(200)) client = &clients[random.below(clients.size())];
  } else if (options.strategy != "none") {
    strategy = adversary::find_strategy(options.strategy);
    client = adversary::find_hostile_client(options.strategy);
    BFTMETA_ASSERT(strategy != nullptr || client != nullptr);
  }
  SwarmRun run;
  run.strategy = strategy != nullptr ? strategy->name : "none";
  if (client != nullptr) run.client = client->name;
  Adversary evil(plan, EngineMachine::genesis, strategy, pick_members(plan.n, random), client,
                 random.next());
  Cluster cluster(
      plan, EngineMachine::genesis, [](Random r) { return std::make_unique<DiskLog>(r); },
      random_bundle);
  evil.attach(cluster);
  run.report = cluster.run();
  for (const std::string& v : evil.violations()) run.report.violations.push_back(v);
  run.lies = evil.lies() + evil.client_lies();
  return run;
}

}  // namespace bftmeta::sim
