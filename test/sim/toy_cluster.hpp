// Parts of a cluster that agrees on nothing but hashes, and the oracles of one without a run, for
// tests.
#pragma once

#include "sim/cluster.hpp"
#include "sim/toy_machine.hpp"

namespace bftmeta::sim {

inline std::unique_ptr<Machine> toy_machine(const config::Genesis& genesis,
                                            const crypto::Verifier&) {
  return std::make_unique<ToyMachine>(genesis.cluster_id(), genesis.config);
}
inline std::unique_ptr<LogDevice> memory_log(Random random) {
  return std::make_unique<MemoryLog>(random);
}
inline std::vector<schema::Operation> noop_bundle(Random&) { return {schema::Operation{}}; }

// A power cut takes every vote with it: what no log may do.
class ForgetfulLog final : public LogDevice {
 public:
  void append(const consensus::Record& record) override { log_.append(record); }
  Synced sync() override { return log_.sync(); }
  void crash(Survival) override { log_ = MemoryLog(); }
  void stop() override { log_.stop(); }
  Result<RecoveredLog> recover() override { return log_.recover(); }
  void inject(DiskFault fault) override { log_.inject(fault); }
  std::uint64_t bytes() const override { return log_.bytes(); }
  void set_state(std::function<std::vector<consensus::Record>()>) override {}
  void flushed(consensus::Seq) override {}
  std::unique_ptr<consensus::Archive> archive(crypto::Context context) const override {
    return log_.archive(context);
  }

 private:
  MemoryLog log_;
};

inline Report run_forgetful(const Plan& plan) {
  Cluster cluster(
      plan, toy_machine, [](Random) { return std::make_unique<ForgetfulLog>(); }, noop_bundle);
  return cluster.run();
}

}  // namespace bftmeta::sim
