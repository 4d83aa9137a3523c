// The consensus core's records in the write-ahead log, and executed history out of it for peers
// that lag behind what memory still holds. Unreadable records count as absent: the peer asks
// somebody else. Thread-safety: the log's thread.
#pragma once

#include "consensus/records.hpp"
#include "consensus/state_machine.hpp"
#include "storage/log.hpp"

namespace bftmeta::storage {

Record to_log(const consensus::Record& record);
Result<consensus::Record> from_log(Record record);
// Core::control_state() as a state group: everything in it is control, the newest certificate too.
std::vector<Record> to_state_group(const std::vector<consensus::Record>& state);

class LogArchive final : public consensus::Archive {
 public:
  explicit LogArchive(Log& log) : log_(log) {}

  std::optional<messages::BatchHeader> header(messages::Seq seq) const override;
  std::optional<messages::Batch> batch(messages::Seq seq, const Hash& digest) const override;
  std::optional<messages::RootCert> certificate(messages::Seq seq) const override;

 private:
  Log& log_;
};

}  // namespace bftmeta::storage
