// Bytes of the write-ahead log: bytes in, bytes out, no I/O (docs/formats/log.md). A segment is a
// file of 4 KiB blocks; a group is what one sync made durable: header, the control records of the
// group before it once more, its own records, zeros up to the next block. The digest is keyed with
// a secret of this store, because bodies are bytes that clients choose and may imitate a group.
// Thread-safety: pure functions.
#pragma once

#include "base/codec.hpp"
#include "crypto/hash.hpp"

namespace bftmeta::storage {

constexpr std::size_t kLogBlock = 4096;
// Payload of one record: a message that fills a frame, and what the sender adds to it.
constexpr std::size_t kMaxLogRecord = (1U << 20) + (64U << 10);
// Records in one group; far more than a window of votes and their repetition.
constexpr std::uint32_t kMaxGroupRecords = 65536;

using LogSecret = Hash;
using GroupDigest = std::array<std::uint8_t, 16>;

// `control`: votes, prepared certificates, view state, certificates: repeated in the next group,
// and carried from segment to segment by the state group. `body`: batches and EXECUTED records:
// pins its segment until its seq is durable in the state store, can be read back.
enum class RecordClass : std::uint8_t { control = 0, body = 1 };
inline bool valid_value(RecordClass c) { return c <= RecordClass::body; }

struct Record {
  std::uint8_t kind = 0;  // the writer's own
  RecordClass record_class = RecordClass::control;
  std::uint64_t seq = 0;
  std::optional<Hash> digest;  // tells several bodies of one seq apart
  Bytes payload;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("kind", s.kind);
    v.field("record_class", s.record_class);
    v.field("seq", s.seq);
    v.field("digest", s.digest);
    v.field("payload", s.payload, Cap{kMaxLogRecord});
  }
  friend bool operator==(const Record&, const Record&) = default;
};

namespace group_flags {
constexpr std::uint32_t kState = 1;         // begins a segment: a copy of all live control state
constexpr std::uint32_t kRepeatsState = 2;  // the group before it was a state group
constexpr std::uint32_t kControlLost = 4;   // of a state group: votes were lost once, for good
constexpr std::uint32_t kKnown = 7;
}  // namespace group_flags

struct GroupHeader {
  std::array<std::uint8_t, 8> magic{'b', 'f', 't', 'm', 'l', 'o', 'g', '1'};
  std::uint64_t segment = 0;   // tells stale groups of a recycled file from its own
  std::uint64_t offset = 0;    // of this header in the segment: a misdirected write shows
  std::uint64_t lsn = 0;       // of the group, one more than the one before it
  std::uint32_t length = 0;    // bytes behind the header, without padding
  std::uint32_t repeated = 0;  // records of the group before, they come first
  std::uint32_t records = 0;   // records of this group
  std::uint32_t flags = 0;
  GroupDigest previous{};  // digest of group lsn - 1
  GroupDigest digest{};    // keyed, over everything above and all that follows

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("magic", s.magic);
    v.field("segment", s.segment);
    v.field("offset", s.offset);
    v.field("lsn", s.lsn);
    v.field("length", s.length);
    v.field("repeated", s.repeated);
    v.field("records", s.records);
    v.field("flags", s.flags);
    v.field("previous", s.previous);
    v.field("digest", s.digest);
  }
};
constexpr std::size_t kGroupHeaderSize = 80;

struct Group {
  GroupHeader header;
  std::vector<Record> repeated;
  std::vector<Record> records;
};

// Bytes that a group with this many bytes behind its header takes in the segment.
constexpr std::uint64_t padded_size(std::uint64_t length) {
  return (kGroupHeaderSize + length + kLogBlock - 1) / kLogBlock * kLogBlock;
}

// The whole blocks of a group. Fills in the counts, the length and the digest of `header`.
Bytes encode_group(const LogSecret& secret, GroupHeader& header, std::span<const Record> repeated,
                   std::span<const Record> records);

// What a block at this place would be the first of: nullopt unless it claims to be a group of this
// segment at this offset that ends within `segment_size`. Nothing of it is proven yet.
std::optional<GroupHeader> parse_group_header(ByteView block, std::uint64_t segment,
                                              std::uint64_t offset, std::uint64_t segment_size);

// `bytes` holds at least kGroupHeaderSize + header.length bytes. nullopt: not what this store
// wrote.
std::optional<Group> decode_group(const LogSecret& secret, const GroupHeader& header,
                                  ByteView bytes);

}  // namespace bftmeta::storage
