#include "sim/disk_log.hpp"

#include <limits>

#include "base/assert.hpp"

namespace bftmeta::sim {

namespace {
constexpr const char* kDirectory = "log";
const storage::LogSecret kSecret{7};
constexpr std::uint64_t kSegmentBytes = 1U << 20;  // small, so that a run fills some
constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();
}  // namespace

DiskLog::DiskLog(Random random, std::uint64_t retain_bytes)
    : random_(random), options_{.segment_bytes = kSegmentBytes, .retain_bytes = retain_bytes} {
  new_disk();
}

void DiskLog::new_disk() {
  disk_ = std::make_unique<SimulatedDisk>(random_.next());
  BFTMETA_ASSERT(storage::Log::create(*disk_, kDirectory, kSecret).has_value());
}

void DiskLog::append(const consensus::Record& record) { log_->append(storage::to_log(record)); }

Synced DiskLog::sync() {
  if (log_->commit()) return Synced::all;
  return log_->stopped() ? Synced::failed : Synced::no_space;
}

void DiskLog::crash(Survival survival) {
  log_.reset();
  disk_->restart(survival == Survival::none  ? SimulatedDisk::Survival::none
                 : survival == Survival::all ? SimulatedDisk::Survival::all
                                             : SimulatedDisk::Survival::some);
}

Result<RecoveredLog> DiskLog::recover() {
  BFTMETA_ASSIGN(storage::OpenedLog opened,
                 storage::Log::open(*disk_, kDirectory, options_, kSecret, flushed_));
  RecoveredLog recovered;
  recovered.votes_lost = opened.recovered.control_lost;
  for (storage::Record& r : opened.recovered.records) {
    BFTMETA_ASSIGN(consensus::Record record, storage::from_log(std::move(r)));
    recovered.records.push_back(std::move(record));
  }
  log_ = std::move(opened.log);
  if (state_) set_state(state_);
  return recovered;
}

void DiskLog::inject(DiskFault fault) {
  switch (fault) {
    case DiskFault::rot: return rot();
    case DiskFault::misdirect: {
      constexpr std::uint64_t kFarthest = 16;  // blocks: still in the same segment, mostly
      return disk_->misdirect_write(
          0, static_cast<std::int64_t>(storage::kLogBlock * random_.between(1, kFarthest)));
    }
    case DiskFault::sync_error: return disk_->fail_next_sync();
    case DiskFault::full: return disk_->set_capacity(0);
    case DiskFault::space_again: return disk_->set_capacity(kUnlimited);
    case DiskFault::wipe: return wipe();
  }
}

// A bit of what was ever written; in the zeros behind it rot would show nothing.
void DiskLog::rot() {
  const auto names = disk_->list(kDirectory);
  if (!names || names->empty()) return;
  const std::string path = std::string(kDirectory) + "/" + (*names)[random_.below(names->size())];
  const Bytes bytes = disk_->durable_contents(path);
  std::size_t written = bytes.size();
  while (written > 0 && bytes[written - 1] == 0) --written;
  if (written == 0) return;
  disk_->rot(path, random_.below(written), static_cast<std::uint8_t>(1U << random_.below(8)));
}

// Precondition: nothing has the log open.
void DiskLog::wipe() {
  BFTMETA_ASSERT(!log_);
  flushed_ = 0;
  new_disk();
}

void DiskLog::set_state(std::function<std::vector<consensus::Record>()> state) {
  state_ = std::move(state);
  if (log_) log_->set_state_provider([this] { return storage::to_state_group(state_()); });
}

void DiskLog::flushed(consensus::Seq seq) {
  flushed_ = seq;
  if (log_) log_->set_flushed(seq);
}

std::unique_ptr<consensus::Archive> DiskLog::archive(crypto::Context) const {
  return std::make_unique<storage::LogArchive>(*log_);
}

}  // namespace bftmeta::sim
