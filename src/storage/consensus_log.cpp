#include "storage/consensus_log.hpp"

namespace bftmeta::storage {

using consensus::RecordKind;
using messages::Seq;

Record to_log(const consensus::Record& record) {
  Record out;
  out.kind = static_cast<std::uint8_t>(record.kind);
  out.record_class = consensus::is_control(record.kind) ? RecordClass::control : RecordClass::body;
  out.seq = record.seq;
  out.digest = record.digest;
  out.payload = record.payload;
  return out;
}

Result<consensus::Record> from_log(Record record) {
  const auto kind = static_cast<RecordKind>(record.kind);
  if (!valid_value(kind))
    return fail(Errc::corrupt, "write-ahead log: record of unknown kind " +
                                   std::to_string(record.kind) +
                                   "; was it written by a newer version?");
  return consensus::Record{kind, record.seq, std::move(record.payload), record.digest};
}

std::vector<Record> to_state_group(const std::vector<consensus::Record>& state) {
  std::vector<Record> group;
  for (const consensus::Record& record : state) {
    group.push_back(to_log(record));
    group.back().record_class = RecordClass::control;
  }
  return group;
}

namespace {

template <class T>
std::optional<T> read(Log& log, RecordKind kind, Seq seq, const std::optional<Hash>& digest) {
  const auto bytes = log.read(static_cast<std::uint8_t>(kind), seq, digest);
  if (!bytes || !*bytes) return std::nullopt;
  auto value = decode<T>(**bytes, "log record");
  if (!value) return std::nullopt;
  return std::move(*value);
}

}  // namespace

std::optional<messages::BatchHeader> LogArchive::header(Seq seq) const {
  return read<messages::BatchHeader>(log_, RecordKind::executed, seq, std::nullopt);
}

std::optional<messages::Batch> LogArchive::batch(Seq seq, const Hash& digest) const {
  return read<messages::Batch>(log_, RecordKind::body, seq, digest);
}

std::optional<messages::RootCert> LogArchive::certificate(Seq seq) const {
  return read<messages::RootCert>(log_, RecordKind::certificate, seq, std::nullopt);
}

}  // namespace bftmeta::storage
