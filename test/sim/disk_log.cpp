#include "sim/disk_log.hpp"

#include "base/assert.hpp"

namespace bftmeta::sim {

namespace {
constexpr const char* kDirectory = "log";
const storage::LogSecret kSecret{7};
// Small segments, so that a run recycles some.
constexpr storage::LogOptions kOptions{.segment_bytes = 1U << 20, .retain_bytes = 2U << 20};
}  // namespace

DiskLog::DiskLog(Random random) : disk_(random.next()) {
  BFTMETA_ASSERT(storage::Log::create(disk_, kDirectory, kSecret).has_value());
}

void DiskLog::append(const consensus::Record& record) { log_->append(storage::to_log(record)); }

bool DiskLog::sync() { return log_->commit().has_value(); }

void DiskLog::crash(Random& random) {
  log_.reset();
  constexpr SimulatedDisk::Survival kAll[] = {
      SimulatedDisk::Survival::none, SimulatedDisk::Survival::all, SimulatedDisk::Survival::some};
  disk_.restart(kAll[random.below(3)]);
}

std::vector<consensus::Record> DiskLog::recover() {
  auto opened = storage::Log::open(disk_, kDirectory, kOptions, kSecret, flushed_);
  BFTMETA_ASSERT(opened.has_value());
  BFTMETA_ASSERT(!opened->recovered.control_lost);
  log_ = std::move(opened->log);
  if (state_) set_state(state_);
  std::vector<consensus::Record> records;
  for (storage::Record& r : opened->recovered.records) {
    auto converted = storage::from_log(std::move(r));
    BFTMETA_ASSERT(converted.has_value());
    records.push_back(std::move(*converted));
  }
  return records;
}

void DiskLog::set_state(std::function<std::vector<consensus::Record>()> state) {
  state_ = std::move(state);
  if (log_) log_->set_state_provider([this] { return storage::to_state_group(state_()); });
}

void DiskLog::flushed(consensus::Seq seq) {
  flushed_ = seq;
  log_->set_flushed(seq);
}

std::unique_ptr<consensus::Archive> DiskLog::archive(crypto::Context) const {
  return std::make_unique<storage::LogArchive>(*log_);
}

}  // namespace bftmeta::sim
