// A simulated cluster for agreement alone: a machine that only hashes, a log in memory, and
// operations that do nothing.
#pragma once

#include "sim/cluster.hpp"
#include "sim/toy_machine.hpp"

namespace bftmeta::test {

inline std::unique_ptr<sim::Machine> toy(const config::Genesis& genesis, const crypto::Verifier&) {
  return std::make_unique<sim::ToyMachine>(genesis.cluster_id(), genesis.config);
}
inline std::unique_ptr<sim::LogDevice> memory_log(sim::Random) {
  return std::make_unique<sim::MemoryLog>();
}
inline std::vector<schema::Operation> noop(sim::Random&) { return {schema::Operation{}}; }

}  // namespace bftmeta::test
