// Reading a log back (protocol §3.3): which groups count, whether the end is torn or rotten, and
// what was lost. An invalid group ends the log only if no valid group of a higher lsn follows;
// if one follows, the invalid one had been acknowledged, because a group is written only after the
// sync of the one before it: that is rot or a misdirected write. Control records of a lost group
// come from their repetition in the next group or from a later state group; if neither is left,
// `control_lost` is set and stays set for the life of the log. Thread-safety: one thread.
#pragma once

#include "storage/file.hpp"
#include "storage/log_format.hpp"

namespace bftmeta::storage {

enum class LogTail : std::uint8_t {
  clean,  // every group is whole
  torn,   // the last write was cut off: it had not been acknowledged
  rot,    // something acknowledged is unreadable, see `damage`
};

struct RecoveredLog {
  // In the order in which they were written: control records since the newest state group, bodies
  // with seq above the flushed one.
  std::vector<Record> records;
  LogTail tail = LogTail::clean;
  bool bodies_lost = false;   // fetch them from peers by digest
  bool control_lost = false;  // votes are lost: fence (protocol §3.6)
  std::string damage;         // one line for people, empty unless tail == rot
};

struct BodyLocation {
  std::uint8_t kind = 0;
  std::uint64_t seq = 0;
  std::optional<Hash> digest;
  std::uint64_t segment = 0;
  std::uint64_t offset = 0;  // of the group
  std::uint32_t index = 0;   // among the group's own records
};

struct SegmentInfo {
  std::uint64_t id = 0;
  std::uint64_t size = 0;  // of the file
  std::uint64_t used = 0;  // up to the end of its last group
  std::uint64_t max_body_seq = 0;
  bool has_state = false;  // its state group is whole: everything before it is superseded
};

struct LogScan {
  RecoveredLog recovered;
  std::vector<SegmentInfo> segments;  // ascending ids
  std::vector<BodyLocation> bodies;   // also those that are not delivered
  std::uint64_t last_lsn = 0;         // 0: no valid group at all
  GroupDigest last_digest{};
};

std::string segment_path(const std::string& directory, std::uint64_t id);

// The group at this offset. Errors: corrupt (not a group of this store), io.
Result<Group> read_group(File& file, const LogSecret& secret, std::uint64_t segment,
                         std::uint64_t offset, std::uint64_t segment_size);

// Reads every segment in `directory`. Errors: io when the newest group cannot be read (it may hold
// votes), whatever listing and opening return.
Result<LogScan> scan_log(FileSystem& fs, const std::string& directory, const LogSecret& secret,
                         std::uint64_t flushed_seq);

}  // namespace bftmeta::storage
