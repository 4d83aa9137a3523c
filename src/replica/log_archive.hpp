// Executed history out of the write-ahead log, for peers that lag behind what memory still holds.
// Unreadable records count as absent: the peer asks somebody else. Thread-safety: the log's thread.
#pragma once

#include "consensus/records.hpp"
#include "consensus/state_machine.hpp"
#include "storage/log.hpp"

namespace bftmeta::replica {

storage::Record to_log(const consensus::Record& record);
Result<consensus::Record> from_log(storage::Record record);

class LogArchive final : public consensus::Archive {
 public:
  explicit LogArchive(const storage::Log& log) : log_(log) {}

  std::optional<messages::BatchHeader> header(messages::Seq seq) const override;
  std::optional<messages::Batch> batch(messages::Seq seq, const Hash& digest) const override;
  std::optional<messages::RootCert> certificate(messages::Seq seq) const override;

 private:
  const storage::Log& log_;
};

}  // namespace bftmeta::replica
