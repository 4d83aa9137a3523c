#include "storage/log_scan.hpp"

#include <charconv>
#include <cstdio>

namespace bftmeta::storage {

namespace {

constexpr std::string_view kPrefix = "log-";

std::optional<std::uint64_t> segment_id(std::string_view name) {
  if (!name.starts_with(kPrefix) || name.size() != kPrefix.size() + 16) return std::nullopt;
  std::uint64_t id = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, id, 16);
  if (error != std::errc() || stop != end) return std::nullopt;
  return id;
}

struct Segment {
  SegmentInfo info;
  std::unique_ptr<File> file;
};

class Scanner {
 public:
  Scanner(FileSystem& fs, const std::string& directory, const LogSecret& secret,
          std::uint64_t flushed_seq)
      : fs_(fs), directory_(directory), secret_(secret), flushed_seq_(flushed_seq) {}

  Result<LogScan> run() {
    BFTMETA_TRY(open_segments());
    for (std::size_t i = 0; i < segments_.size(); ++i) scan_segment(i);
    for (const Segment& s : segments_) scan_.segments.push_back(s.info);
    if (unreadable_)
      return fail(Errc::io, "the newest part of the log in " + directory_ +
                                " cannot be read and may hold votes: " + *unreadable_ +
                                "; let this replica rejoin with a new key");
    if (scan_.recovered.bodies_lost || scan_.recovered.control_lost)
      scan_.recovered.tail = LogTail::rot;
    return std::move(scan_);
  }

 private:
  Status open_segments() {
    BFTMETA_ASSIGN(const std::vector<std::string> names, fs_.list(directory_));
    for (const std::string& name : names) {
      const auto id = segment_id(name);
      if (!id) continue;
      Segment s;
      s.info.id = *id;
      BFTMETA_ASSIGN(s.file, fs_.open(segment_path(directory_, *id), OpenMode::read_write));
      // The disk's own bytes, not those of a page cache that a failed sync may have left behind.
      // It also makes durable what an earlier process wrote and did not live to sync: what is
      // believed now must still be there after a power cut.
      BFTMETA_TRY(s.file->reload());
      BFTMETA_ASSIGN(s.info.size, s.file->size());
      segments_.push_back(std::move(s));
    }
    return {};
  }

  // nullopt: no whole group there. An I/O error counts as that, and is remembered: if nothing valid
  // follows, what could not be read may have been the newest votes.
  std::optional<Group> group_at(const Segment& s, std::uint64_t offset) {
    auto group = read_group(*s.file, secret_, s.info.id, offset, s.info.size);
    if (group) return std::move(*group);
    if (group.error().code == Errc::io) unreadable_ = group.error().message;
    return std::nullopt;
  }

  bool continues_last(const Group& g) const {
    return g.header.lsn == scan_.last_lsn + 1 && g.header.previous == scan_.last_digest;
  }

  bool next_segment_continues(std::size_t i) {
    if (i + 1 >= segments_.size()) return false;
    const auto first = group_at(segments_[i + 1], 0);
    return first && continues_last(*first);
  }

  void scan_segment(std::size_t i) {
    Segment& s = segments_[i];
    std::uint64_t offset = 0;
    while (offset + kLogBlock <= s.info.size) {
      auto group = group_at(s, offset);
      if (!group || (offset != 0 && group->header.lsn <= scan_.last_lsn)) {
        if (offset != 0 && next_segment_continues(i)) {
          unreadable_.reset();
          return;
        }
        const bool torn = looks_torn(s, offset);
        group = find_behind(s, offset + kLogBlock);
        if (!group) {
          if (torn) scan_.recovered.tail = LogTail::torn;
          return;
        }
      }
      unreadable_.reset();
      scan_.recovered.tail = LogTail::clean;
      offset = group->header.offset + padded_size(group->header.length);
      accept(s.info, std::move(*group));
    }
  }

  bool looks_torn(const Segment& s, std::uint64_t offset) {
    Bytes block(kLogBlock);
    const auto got = s.file->read_at(offset, block);
    return got && parse_group_header(ByteView(block).first(*got), s.info.id, offset, s.info.size);
  }

  // The first whole group of a higher lsn behind an invalid one.
  std::optional<Group> find_behind(const Segment& s, std::uint64_t from) {
    Bytes chunk(256 * kLogBlock);
    for (; from + kLogBlock <= s.info.size; from += chunk.size()) {
      const auto got = s.file->read_at(from, chunk);
      const std::uint64_t end = std::min<std::uint64_t>(s.info.size, from + chunk.size());
      for (std::uint64_t at = from; at + kLogBlock <= end; at += kLogBlock) {
        // A chunk with an unreadable block is gone through block by block.
        const auto block = ByteView(chunk).subspan(static_cast<std::size_t>(at - from), kLogBlock);
        if (got && !parse_group_header(block, s.info.id, at, s.info.size)) continue;
        auto group = group_at(s, at);
        if (group && group->header.lsn > scan_.last_lsn) return group;
      }
    }
    return std::nullopt;
  }

  void accept(SegmentInfo& segment, Group group) {
    const GroupHeader& h = group.header;
    const bool is_state = (h.flags & group_flags::kState) != 0;
    const bool gap = !continues_last(group) && !(scan_.last_lsn == 0 && is_state);
    // Taking up an older end again is no loss: what stood behind it had never been acknowledged.
    if (gap && h.lsn > scan_.last_lsn) note_damage(h);
    if (is_state) {
      reset_control();
      segment.has_state = true;
    } else if (gap && (h.flags & group_flags::kRepeatsState) != 0) {
      reset_control();
      deliver(std::move(group.repeated));
    } else if (gap) {
      const bool all_repeated = h.lsn == scan_.last_lsn + 2 && scan_.last_lsn != 0;
      if (!all_repeated) scan_.recovered.control_lost = true;
      deliver(std::move(group.repeated));
    }
    if ((h.flags & group_flags::kControlLost) != 0) scan_.recovered.control_lost = true;
    for (std::uint32_t i = 0; i < group.records.size(); ++i) {
      const Record& r = group.records[i];
      if (r.record_class != RecordClass::body) continue;
      segment.max_body_seq = std::max(segment.max_body_seq, r.seq);
      scan_.bodies.push_back({r.kind, r.seq, r.digest, segment.id, h.offset, i});
    }
    segment.used = h.offset + padded_size(h.length);
    scan_.last_lsn = h.lsn;
    scan_.last_digest = h.digest;
    deliver(std::move(group.records));
  }

  // A state group is complete: whatever was lost or superseded before it does not matter any more.
  void reset_control() {
    std::erase_if(scan_.recovered.records,
                  [](const Record& r) { return r.record_class == RecordClass::control; });
    scan_.recovered.control_lost = false;
  }

  void deliver(std::vector<Record> records) {
    for (Record& r : records)
      if (r.record_class == RecordClass::control || r.seq > flushed_seq_)
        scan_.recovered.records.push_back(std::move(r));
  }

  void note_damage(const GroupHeader& next) {
    RecoveredLog& r = scan_.recovered;
    r.bodies_lost = true;
    if (!r.damage.empty()) r.damage += "; ";
    r.damage += segment_path(directory_, next.segment) + " offset " + std::to_string(next.offset) +
                " holds group " + std::to_string(next.lsn) + " where group " +
                std::to_string(scan_.last_lsn + 1) + " was expected";
  }

  FileSystem& fs_;
  const std::string& directory_;
  const LogSecret& secret_;
  const std::uint64_t flushed_seq_;
  std::vector<Segment> segments_;
  std::optional<std::string> unreadable_;
  LogScan scan_;
};

}  // namespace

std::string segment_path(const std::string& directory, std::uint64_t id) {
  char name[32];
  std::snprintf(name, sizeof name, "%s%016llx", kPrefix.data(),
                static_cast<unsigned long long>(id));
  return directory + "/" + name;
}

Result<Group> read_group(File& file, const LogSecret& secret, std::uint64_t segment,
                         std::uint64_t offset, std::uint64_t segment_size) {
  const auto corrupt = [&] {
    return fail(Errc::corrupt, "log segment " + std::to_string(segment) +
                                   " holds no whole group at offset " + std::to_string(offset));
  };
  Bytes bytes(kLogBlock);
  BFTMETA_ASSIGN(const std::size_t got, file.read_at(offset, bytes));
  bytes.resize(got);
  const auto header = parse_group_header(bytes, segment, offset, segment_size);
  if (!header || got < kLogBlock) return corrupt();
  bytes.resize(static_cast<std::size_t>(padded_size(header->length)));
  if (bytes.size() > kLogBlock) {
    BFTMETA_ASSIGN(const std::size_t rest,
                   file.read_at(offset + kLogBlock, std::span(bytes).subspan(kLogBlock)));
    bytes.resize(kLogBlock + rest);
  }
  auto group = decode_group(secret, *header, bytes);
  if (!group) return corrupt();
  return std::move(*group);
}

Result<LogScan> scan_log(FileSystem& fs, const std::string& directory, const LogSecret& secret,
                         std::uint64_t flushed_seq) {
  return Scanner(fs, directory, secret, flushed_seq).run();
}

}  // namespace bftmeta::storage
