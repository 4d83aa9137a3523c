// Leaf records: the values of the authenticated map, one struct per key table. Every record begins
// with its format byte (1). Frozen by test/vectors/records.txt. Thread-safety: plain values.
#pragma once

#include "base/codec.hpp"
#include "base/limits.hpp"
#include "config/genesis.hpp"

namespace bftmeta::schema {

constexpr std::uint64_t kRootIno = 1;
constexpr std::uint8_t kRecordFormat = 1;

// File type, the numbers of POSIX st_mode >> 12.
enum class FileType : std::uint8_t {
  fifo = 1,
  character_device = 2,
  directory = 4,
  block_device = 6,
  regular = 8,
  symlink = 10,
  socket = 12,
};
bool valid_value(FileType t);

// How the contents of a regular file are kept.
enum class DataKind : std::uint8_t { none = 0, inline_leaf = 1, extents = 2 };
bool valid_value(DataKind k);

// Decode of any record: format byte known, no trailing bytes.
template <class T>
Result<T> decode_record(ByteView value, const char* type) {
  auto record = decode<T>(value, type);
  if (record && record->format != kRecordFormat)
    return fail(Errc::malformed,
                std::string(type) + ": unknown record format " + std::to_string(record->format));
  return record;
}

struct Attributes {
  std::uint8_t format = kRecordFormat;
  FileType type = FileType::regular;
  std::uint16_t mode = 0;   // permission bits, 07777
  std::uint32_t nlink = 1;  // directories: 2 + subdirectories
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t size = 0;  // bytes; directories: number of entries; symlinks: length of the target
  std::uint64_t rdev = 0;  // devices only
  std::uint64_t parent = 0;   // directories only: the one parent (root: itself)
  std::uint32_t depth = 0;    // directories only: distance from the root when made or moved itself
  std::uint64_t version = 1;  // +1 on every change: compare-and-set
  std::int64_t atime_ns = 0;  // since the epoch; changed by utimens only
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;  // agreed time
  std::int64_t btime_ns = 0;
  Hash salt{};  // of this inode's dirent and xattr names
  DataKind data = DataKind::none;
  // An extent is live if it lies below live_limit or is of this generation (live_extent below): an
  // O(1) truncate raises the one and lowers the other, whatever waits to be purged stays dead.
  std::uint32_t data_generation = 0;
  std::uint64_t live_limit = 0;  // bytes
  std::uint32_t xattr_count = 0;
  std::uint64_t project = 0;  // reserved for subtree quotas

  bool is_directory() const { return type == FileType::directory; }

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("type", s.type);
    v.field("mode", s.mode);
    v.field("nlink", s.nlink);
    v.field("uid", s.uid);
    v.field("gid", s.gid);
    v.field("size", s.size);
    v.field("rdev", s.rdev);
    v.field("parent", s.parent);
    v.field("depth", s.depth);
    v.field("version", s.version);
    v.field("atime_ns", s.atime_ns);
    v.field("mtime_ns", s.mtime_ns);
    v.field("ctime_ns", s.ctime_ns);
    v.field("btime_ns", s.btime_ns);
    v.field("salt", s.salt);
    v.field("data", s.data);
    v.field("data_generation", s.data_generation);
    v.field("live_limit", s.live_limit);
    v.field("xattr_count", s.xattr_count);
    v.field("project", s.project);
  }
  friend bool operator==(const Attributes&, const Attributes&) = default;
};

struct Dirent {
  std::uint8_t format = kRecordFormat;
  std::uint64_t ino = 0;
  FileType type = FileType::regular;
  Bytes name;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("ino", s.ino);
    v.field("type", s.type);
    v.field("name", s.name, Cap{limits::kMaxName});
  }
  friend bool operator==(const Dirent&, const Dirent&) = default;
};

struct Xattr {
  std::uint8_t format = kRecordFormat;
  Bytes name;
  Bytes value;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("name", s.name, Cap{limits::kMaxXattrName});
    v.field("value", s.value, Cap{limits::kMaxXattrValue});
  }
  friend bool operator==(const Xattr&, const Xattr&) = default;
};

// One block of a file at [offset, offset + length); the rest up to the next extent reads as zeros.
struct Extent {
  std::uint8_t format = kRecordFormat;
  std::uint32_t length = 0;        // visible bytes, 1..kBlockSize; <= block_length
  std::uint32_t block_length = 0;  // bytes that `digest` covers
  std::uint32_t generation = 0;    // Attributes::data_generation when it was written
  Hash digest{};                   // SHA-256 of the block's content

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("length", s.length);
    v.field("block_length", s.block_length);
    v.field("generation", s.generation);
    v.field("digest", s.digest);
  }
  friend bool operator==(const Extent&, const Extent&) = default;
};

inline bool live_extent(const Attributes& attributes, std::uint64_t offset, const Extent& extent) {
  return offset < attributes.live_limit || extent.generation == attributes.data_generation;
}

// Inline file data or a symlink target. Inline data that is shorter than the file ends in zeros.
struct Content {
  std::uint8_t format = kRecordFormat;
  Bytes bytes;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("bytes", s.bytes, Cap{limits::kMaxSymlink});
  }
  friend bool operator==(const Content&, const Content&) = default;
};

// Index entries whose key says everything (leases, orphans, holds, tombstone index).
struct Marker {
  std::uint8_t format = kRecordFormat;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
  }
  friend bool operator==(const Marker&, const Marker&) = default;
};

// Extents of `ino` that a truncate or a purge left behind; `whole` when the inode itself is gone.
struct Garbage {
  std::uint8_t format = kRecordFormat;
  bool whole = false;
  std::uint64_t from = 0;  // offset at which the purge goes on; everything dead lies behind it

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("whole", s.whole);
    v.field("from", s.from);
  }
  friend bool operator==(const Garbage&, const Garbage&) = default;
};

// A client session (protocol §8.1, FIFO as in architecture §5).
struct Session {
  std::uint8_t format = kRecordFormat;
  PublicKey principal{};  // sign key of the client
  std::uint64_t open_seq = 0;
  std::uint64_t last_active_seq = 0;
  std::uint64_t lease_expiry_us = 0;  // lease time
  std::uint64_t last_bundle = 0;      // bundles 1..last_bundle were executed, in order
  std::uint64_t ack_upto = 0;         // results of (ack_upto, last_bundle] are kept

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("principal", s.principal);
    v.field("open_seq", s.open_seq);
    v.field("last_active_seq", s.last_active_seq);
    v.field("lease_expiry_us", s.lease_expiry_us);
    v.field("last_bundle", s.last_bundle);
    v.field("ack_upto", s.ack_upto);
  }
  friend bool operator==(const Session&, const Session&) = default;
};

// The kept outcome of one executed bundle. `results` is empty and `digest` alone remains when the
// results are longer than kMaxStoredResult.
struct StoredResult {
  std::uint8_t format = kRecordFormat;
  std::uint64_t seq = 0;
  Hash request_digest{};
  Hash results_digest{};  // H(0x0a || encoded results)
  bool complete = true;   // results are here in full
  Bytes results;          // encoded BundleResult

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("seq", s.seq);
    v.field("request_digest", s.request_digest);
    v.field("results_digest", s.results_digest);
    v.field("complete", s.complete);
    v.field("results", s.results, Cap{limits::kMaxStoredResult});
  }
  friend bool operator==(const StoredResult&, const StoredResult&) = default;
};

// A SESSION-OPEN that was executed, remembered until its valid_until_us: ordered again it gets the
// same answer and opens nothing (protocol §1.5).
struct RememberedOpen {
  std::uint8_t format = kRecordFormat;
  PublicKey principal{};
  Id16 session_id{};

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("principal", s.principal);
    v.field("session_id", s.session_id);
  }
  friend bool operator==(const RememberedOpen&, const RememberedOpen&) = default;
};

struct Tombstone {
  std::uint8_t format = kRecordFormat;
  PublicKey principal{};
  std::uint64_t last_bundle = 0;
  std::uint64_t expiry_us = 0;  // agreed time

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("principal", s.principal);
    v.field("last_bundle", s.last_bundle);
    v.field("expiry_us", s.expiry_us);
  }
  friend bool operator==(const Tombstone&, const Tombstone&) = default;
};

struct Principal {
  std::uint8_t format = kRecordFormat;
  std::string name;
  PublicKey link_key{};
  config::ClientRules rules;
  std::uint32_t sessions = 0;  // open now

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("name", s.name, Cap{64});
    v.field("link_key", s.link_key);
    v.field("rules", s.rules);
    v.field("sessions", s.sessions);
  }
  friend bool operator==(const Principal&, const Principal&) = default;
};

// The configuration of an epoch.
struct ConfigRecord {
  std::uint8_t format = kRecordFormat;
  config::Config config;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("config", s.config);
  }
  friend bool operator==(const ConfigRecord&, const ConfigRecord&) = default;
};

// A change of the configuration that is under way (protocol §9.2).
struct PendingChange {
  std::uint8_t format = kRecordFormat;
  config::Config next;
  std::uint64_t deadline_us = 0;    // agreed time: dropped then, unless scheduled
  std::uint32_t ready = 0;          // bit i: member i of `next` has said READY
  std::uint64_t epoch_end_seq = 0;  // 0 until scheduled

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("next", s.next);
    v.field("deadline_us", s.deadline_us);
    v.field("ready", s.ready);
    v.field("epoch_end_seq", s.epoch_end_seq);
  }
  friend bool operator==(const PendingChange&, const PendingChange&) = default;
};

// H(0x1a || hash of the next configuration || deadline_us): of one proposal. The same
// configuration, proposed again after it was taken back, is another one.
Hash proposal_hash(const PendingChange& change);

struct Counters {
  std::uint8_t format = kRecordFormat;
  std::uint64_t next_ino = kRootIno + 1;
  std::uint64_t inodes = 1;         // live and orphaned
  std::uint64_t bytes = 0;          // sum of file sizes of regular files
  std::uint64_t lease_time_us = 0;  // protocol §8.3
  std::uint32_t sessions = 0;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("next_ino", s.next_ino);
    v.field("inodes", s.inodes);
    v.field("bytes", s.bytes);
    v.field("lease_time_us", s.lease_time_us);
    v.field("sessions", s.sessions);
  }
  friend bool operator==(const Counters&, const Counters&) = default;
};

// Frontier of the RFC 6962 tree over the BatchHeaders of seqs 1..count.
struct HistoryFrontier {
  std::uint8_t format = kRecordFormat;
  std::uint64_t count = 0;
  std::vector<Hash> peaks;  // one per set bit of count, largest subtree first

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("count", s.count);
    v.field("peaks", s.peaks, Cap{64});
  }
  friend bool operator==(const HistoryFrontier&, const HistoryFrontier&) = default;
};

}  // namespace bftmeta::schema
