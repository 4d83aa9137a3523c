// The production write-ahead log on a simulated disk: a crash keeps any subset of the sectors that
// were not synced.
#pragma once

#include "sim/disk.hpp"
#include "sim/log_device.hpp"
#include "storage/consensus_log.hpp"

namespace bftmeta::sim {

class DiskLog final : public LogDevice {
 public:
  // Every start takes a new segment, so this outlasts the restarts of a run: who needs history from
  // before them finds it.
  static constexpr std::uint64_t kRetainBytes = 16U << 20;

  explicit DiskLog(Random random, std::uint64_t retain_bytes = kRetainBytes);

  void append(const consensus::Record& record) override;
  Synced sync() override;
  void crash(Survival survival) override;
  void stop() override { log_.reset(); }
  Result<RecoveredLog> recover() override;
  void inject(DiskFault fault) override;
  std::uint64_t bytes() const override { return log_ ? log_->bytes_on_disk() : 0; }
  void set_state(std::function<std::vector<consensus::Record>()> state) override;
  void flushed(consensus::Seq seq) override;
  std::unique_ptr<consensus::Archive> archive(crypto::Context context) const override;

 private:
  void rot();
  void wipe();
  void new_disk();

  Random random_;
  const storage::LogOptions options_;
  std::unique_ptr<SimulatedDisk> disk_;
  std::unique_ptr<storage::Log> log_;
  consensus::Seq flushed_ = 0;
  std::function<std::vector<consensus::Record>()> state_;
};

}  // namespace bftmeta::sim
