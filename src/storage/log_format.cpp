#include "storage/log_format.hpp"

#include "base/assert.hpp"

namespace bftmeta::storage {

namespace {

GroupDigest keyed_digest(const LogSecret& secret, ByteView group) {
  // A truncated hash behind a secret prefix cannot be extended by who does not know the secret.
  const std::size_t digest_at = kGroupHeaderSize - sizeof(GroupDigest);
  const Hash full = crypto::Hasher(tags::Domain::log_group)
                        .update(secret)
                        .update(group.first(digest_at))
                        .update(group.subspan(kGroupHeaderSize))
                        .finish();
  GroupDigest digest;
  std::copy_n(full.begin(), digest.size(), digest.begin());
  return digest;
}

bool decode_records(codec::Decoder& d, std::uint32_t count, std::vector<Record>& out) {
  for (std::uint32_t i = 0; i < count && d.ok(); ++i) d.get("record", out.emplace_back());
  return d.ok();
}

}  // namespace

Bytes encode_group(const LogSecret& secret, GroupHeader& header, std::span<const Record> repeated,
                   std::span<const Record> records) {
  std::size_t length = 0;
  for (const Record& r : repeated) length += encoded_size(r);
  for (const Record& r : records) length += encoded_size(r);
  header.length = static_cast<std::uint32_t>(length);
  header.repeated = static_cast<std::uint32_t>(repeated.size());
  header.records = static_cast<std::uint32_t>(records.size());
  header.digest = {};

  Bytes out;
  out.reserve(static_cast<std::size_t>(padded_size(length)));
  codec::Encoder e(out);
  e.put(header);
  BFTMETA_ASSERT(out.size() == kGroupHeaderSize);
  for (const Record& r : repeated) e.put(r);
  for (const Record& r : records) e.put(r);
  header.digest = keyed_digest(secret, out);
  std::ranges::copy(header.digest,
                    out.begin() + static_cast<std::ptrdiff_t>(kGroupHeaderSize - 16));
  out.resize(static_cast<std::size_t>(padded_size(length)));
  return out;
}

std::optional<GroupHeader> parse_group_header(ByteView block, std::uint64_t segment,
                                              std::uint64_t offset, std::uint64_t segment_size) {
  if (block.size() < kGroupHeaderSize) return std::nullopt;
  auto header = decode<GroupHeader>(block.first(kGroupHeaderSize), "log group header");
  if (!header || header->magic != GroupHeader{}.magic || header->segment != segment ||
      header->offset != offset || header->lsn == 0 || (header->flags & ~group_flags::kKnown) != 0 ||
      header->repeated > kMaxGroupRecords || header->records > kMaxGroupRecords)
    return std::nullopt;
  if (offset > segment_size || padded_size(header->length) > segment_size - offset)
    return std::nullopt;
  return *header;
}

std::optional<Group> decode_group(const LogSecret& secret, const GroupHeader& header,
                                  ByteView bytes) {
  const std::size_t size = kGroupHeaderSize + header.length;
  if (bytes.size() < size) return std::nullopt;
  if (keyed_digest(secret, bytes.first(size)) != header.digest) return std::nullopt;
  Group group{header, {}, {}};
  codec::Decoder d(bytes.subspan(kGroupHeaderSize, header.length));
  if (!decode_records(d, header.repeated, group.repeated) ||
      !decode_records(d, header.records, group.records) || !d.rest().empty())
    return std::nullopt;
  return group;
}

}  // namespace bftmeta::storage
