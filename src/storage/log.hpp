// The write-ahead log of one replica (protocol §3.3). Invariants: one group in flight; a durable
// 4 KiB block is never written again; after a restart writing goes on in a fresh segment; each
// segment begins with a state group, synced before an older segment is recycled; any failed write
// or sync stops the log for good (after a failed sync nothing is known about the disk). A segment
// that cannot be had because the disk is full does not: nothing was written, and it can wait.
// Record lsns count from 1 in each process; group lsns, inside, are those of the file.
// Thread-safety: one thread, except prepare_space().
#pragma once

#include <functional>
#include <map>
#include <set>

#include "storage/log_check.hpp"
#include "storage/log_scan.hpp"
#include "storage/segment_pool.hpp"

namespace bftmeta::storage {

struct LogOptions {
  std::uint64_t segment_bytes = 64ULL << 20;  // multiple of 1 MiB in production, of 4 KiB in tests
  std::uint64_t retain_bytes = 256ULL << 20;  // of what was written, for lagging peers
};
// Segments that are kept for lagging peers take at most this many times retain_bytes, however
// little was written to each: with the default sizes, the history behind sixteen starts is there.
constexpr std::uint64_t kMaxRetainFactor = 4;

using Lsn = std::uint64_t;

class Log;
struct OpenedLog {
  std::unique_ptr<Log> log;
  RecoveredLog recovered;
};

class Log {
 public:
  // Makes a new, empty log in `directory`, which must not exist; all or nothing.
  static Status create(FileSystem& fs, const std::string& directory, const LogSecret& secret);

  // Scans, then preallocates space. Bodies with seq <= flushed_seq are indexed, not delivered.
  // Errors: not_found (no log), corrupt (not one whole group: votes are lost), disk_full (no room
  // for the reserve, which this log never had), io.
  static Result<OpenedLog> open(FileSystem& fs, const std::string& directory,
                                const LogOptions& options, const LogSecret& secret,
                                std::uint64_t flushed_seq);

  // All live control state, called when a segment is opened: view state, newest certificate, votes
  // above it, P-entries above the durable flush, and the fence if there is one. It must be set
  // before the first commit, and may already contain what was appended and not committed.
  using StateProvider = std::function<std::vector<Record>()>;
  void set_state_provider(StateProvider provider) { state_ = std::move(provider); }

  // Encoded bytes that the state may have: a quarter segment.
  std::uint64_t state_limit() const { return options_.segment_bytes / 4; }

  // Buffers; no I/O. The record's lsn.
  Lsn append(Record record);

  // Writes what is buffered as one group (more only if it exceeds a quarter segment) and syncs it
  // once per group. Returns the lsn up to which all is durable. Errors: disk_full, while
  // !stopped(): a segment could only be had from the reserve; what is buffered stays buffered,
  // durable() says how far it got, and the next call tries again. Any other error is final, every
  // later call returns it again and the process must end: io, disk_full in the middle of a write,
  // limit (a record or the state is larger than a quarter segment).
  Result<Lsn> commit();
  bool stopped() const { return failed_.has_value(); }

  Lsn appended() const { return appended_; }
  Lsn durable() const { return durable_; }

  // Bodies with seq <= flushed_seq are durable in the state store; their segments may be recycled.
  void set_flushed(std::uint64_t flushed_seq) {
    flushed_seq_ = std::max(flushed_seq_, flushed_seq);
  }

  // The newest durable body of this kind and seq, with this digest if one is given; nullopt when
  // the log does not have it (any more). Errors: corrupt, io: fetch it from a peer; take_damage()
  // tells of it.
  Result<std::optional<Bytes>> read(std::uint8_t kind, std::uint64_t seq,
                                    const std::optional<Hash>& digest = std::nullopt);
  // The lowest seq of which a body of this kind is here.
  std::optional<std::uint64_t> oldest_body(std::uint8_t kind) const;

  // Prepares the next segment in slices of about 2 ms, so that commit() need not wait for it. From
  // any thread. Returns whether there is more to do.
  Result<bool> prepare_space() { return pool_.fill_slice(); }

  std::uint64_t bytes_on_disk() const;

  // ---- what a scrub (log_check.hpp) reads and finds
  std::vector<WrittenSegment> written() const;
  // What reads met since the last call, at most one place for each segment.
  std::vector<LogCheck::Damage> take_damage() { return std::exchange(damage_, {}); }
  // This segment is not what was written any more. If it is the newest, the next commit() opens
  // another, with all live control state, whether anything is buffered or not: no vote is lost
  // then, whatever becomes of the old one. False: it is not here any more, or was given up before.
  bool give_up(std::uint64_t segment);
  // Removes the oldest segment if it, or one behind it, was given up, the state store has what is
  // in it, and a sound segment behind it has the control state. What it held is history that others
  // have. False: it may not go, or need not. Errors: io, permission; what could not be removed is
  // in the way of nothing.
  Result<bool> let_go();
  std::uint64_t damaged_gone() const { return damaged_gone_; }  // of those that were given up

 private:
  Log(FileSystem& fs, std::string directory, const LogOptions& options, const LogSecret& secret)
      : fs_(fs),
        directory_(std::move(directory)),
        options_(options),
        secret_(secret),
        pool_(fs, directory_, options.segment_bytes) {}

  using BodyKey = std::pair<std::uint8_t, std::uint64_t>;

  std::uint64_t record_limit() const { return state_limit(); }
  Status write_pending();
  Status write_groups(std::size_t& first);
  Status write_records(std::span<const Record> records);
  Status write_group(std::span<const Record> repeated, std::span<const Record> records,
                     std::uint32_t flags);
  Status open_segment();
  Result<Bytes> read_body(File& file, const BodyLocation& at) const;
  Result<std::string> next_segment_file();
  bool needed(const SegmentInfo& oldest) const;
  bool can_recycle(std::uint64_t retain_bytes) const;
  std::string drop_oldest();
  void add_to_index(const BodyLocation& body);

  FileSystem& fs_;
  const std::string directory_;
  const LogOptions options_;
  const LogSecret secret_;
  SegmentPool pool_;
  StateProvider state_;

  std::vector<Record> pending_;
  Lsn appended_ = 0;
  Lsn durable_ = 0;
  std::optional<Error> failed_;
  bool no_segment_ = false;  // the commit under way found the disk full before it wrote anything

  std::unique_ptr<File> current_;  // of segments_.back(); null until the first commit
  std::uint64_t offset_ = 0;
  std::uint64_t group_lsn_ = 0;
  GroupDigest group_digest_{};
  bool control_lost_ = false;
  std::vector<Record> repeat_;  // control records of the newest group
  std::uint32_t repeat_flags_ = 0;

  std::uint64_t flushed_seq_ = 0;
  std::vector<SegmentInfo> segments_;
  std::set<std::uint64_t> given_up_;  // of segments_
  std::uint64_t damaged_gone_ = 0;
  std::vector<LogCheck::Damage> damage_;
  // By kind and seq; equals in the order of writing. New ones nearly always come last.
  std::map<std::uint8_t, std::multimap<std::uint64_t, BodyLocation>> bodies_;
  std::map<std::uint64_t, std::vector<BodyKey>> bodies_of_segment_;
};

}  // namespace bftmeta::storage
