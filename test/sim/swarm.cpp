#include "sim/swarm.hpp"

#include "adversary/strategies.hpp"
#include "base/assert.hpp"
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

SwarmRun run_swarm(std::uint64_t seed, const SwarmOptions& options) {
  Random random(seed ^ 0x5eed'5eed'5eed'5eed);
  Plan plan = plan_for(seed, options, random);
  SwarmRun run;
  run.strategy = options.strategy;
  const auto& all = adversary::all_strategies();
  if (run.strategy.empty())
    run.strategy = random.chance(600) ? all[random.below(all.size())].name : "none";
  std::shared_ptr<const std::atomic<std::uint64_t>> lies;
  if (run.strategy != "none") {
    const adversary::Maker make = adversary::find_strategy(run.strategy);
    BFTMETA_ASSERT(make != nullptr);
    const auto evil =
        static_cast<messages::ReplicaId>(random.below(2) == 0 ? 0 : random.below(plan.n));
    plan.byzantine[evil] = [&lies, make, evil](const config::Genesis& genesis,
                                               const crypto::Signer& signer, Random) {
      auto strategy = make({evil, genesis.cluster_id(), genesis.config, &signer});
      lies = strategy->lies();
      return strategy;
    };
  }
  Cluster cluster(
      plan, EngineMachine::genesis, [](Random r) { return std::make_unique<DiskLog>(r); },
      random_bundle);
  run.report = cluster.run();
  if (lies) run.lies = *lies;
  return run;
}

}  // namespace bftmeta::sim
