#include "storage/log.hpp"

#include "base/assert.hpp"

namespace bftmeta::storage {

namespace {

// First segment of a new log: nothing but the block of an empty state group.
constexpr std::uint64_t kFirstSegment = 1;

Status remove_tree(FileSystem& fs, const std::string& directory) {
  BFTMETA_ASSIGN(const std::vector<std::string> names, fs.list(directory));
  for (const std::string& name : names) BFTMETA_TRY(fs.unlink(directory + "/" + name));
  return fs.remove_directory(directory);
}

}  // namespace

Status Log::create(FileSystem& fs, const std::string& directory, const LogSecret& secret) {
  BFTMETA_ASSIGN(const bool present, fs.exists(directory));
  if (present) return fail(Errc::already_exists, directory + " exists already: a log is there");
  const std::string fresh = directory + ".new";
  BFTMETA_ASSIGN(const bool leftover, fs.exists(fresh));
  if (leftover) BFTMETA_TRY(remove_tree(fs, fresh));
  BFTMETA_TRY(fs.make_directory(fresh));
  {
    BFTMETA_ASSIGN(const std::unique_ptr<File> file,
                   fs.open(segment_path(fresh, kFirstSegment), OpenMode::create));
    GroupHeader header;
    header.segment = kFirstSegment;
    header.lsn = 1;
    header.flags = group_flags::kState;
    BFTMETA_TRY(file->write_at(0, encode_group(secret, header, {}, {})));
    BFTMETA_TRY(file->sync_data());
  }
  BFTMETA_TRY(fs.sync_directory(fresh));
  BFTMETA_TRY(fs.rename(fresh, directory));
  return fs.sync_directory(parent_of(directory));
}

Result<OpenedLog> Log::open(FileSystem& fs, const std::string& directory, const LogOptions& options,
                            const LogSecret& secret, std::uint64_t flushed_seq) {
  if (options.segment_bytes % kLogBlock != 0 || options.segment_bytes < 16 * kLogBlock ||
      options.segment_bytes > (1ULL << 32))
    return fail(Errc::config, "log segment size " + std::to_string(options.segment_bytes) +
                                  " must be a multiple of 4096 from 65536 to 4294967296");
  BFTMETA_ASSIGN(LogScan scan, scan_log(fs, directory, secret, flushed_seq));
  if (scan.last_lsn == 0)
    return fail(Errc::corrupt, "the log in " + directory +
                                   " has not one whole group of this store: the votes of this "
                                   "replica are lost; let it rejoin with a new key");
  std::unique_ptr<Log> log(new Log(fs, directory, options, secret));
  log->flushed_seq_ = flushed_seq;
  log->group_lsn_ = scan.last_lsn;
  log->group_digest_ = scan.last_digest;
  log->control_lost_ = scan.recovered.control_lost;
  log->segments_ = std::move(scan.segments);
  for (const BodyLocation& body : scan.bodies) log->add_to_index(body);
  BFTMETA_TRY(log->pool_.open());
  return OpenedLog{std::move(log), std::move(scan.recovered)};
}

Lsn Log::append(Record record) {
  pending_.push_back(std::move(record));
  return ++appended_;
}

Result<Lsn> Log::commit() {
  if (failed_) return tl::make_unexpected(*failed_);
  BFTMETA_ASSERT(state_ != nullptr);
  no_segment_ = false;
  const Status written = write_pending();
  if (written) return durable_;
  if (no_segment_)
    return fail(Errc::disk_full, "no room for the log in " + directory_ +
                                     " outside its reserve: " + written.error().message);
  failed_ = Error{written.error().code,
                  "the log in " + directory_ + " has stopped: " + written.error().message};
  return tl::make_unexpected(*failed_);
}

Status Log::write_pending() {
  if (given_up_.contains(segments_.back().id)) {
    BFTMETA_TRY(open_segment());
    BFTMETA_TRY(write_records({}));  // the state once more: nothing follows it, perhaps for long
  }
  std::size_t first = 0;
  const Status written = write_groups(first);
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(first));
  return written;
}

// `first`: how many records are durable, also when it fails.
Status Log::write_groups(std::size_t& first) {
  while (first < pending_.size()) {
    std::uint64_t bytes = 0;
    std::size_t end = first;
    for (; end < pending_.size() && end - first < kMaxGroupRecords; ++end) {
      if (pending_[end].payload.size() > kMaxLogRecord)
        return fail(Errc::limit, "a record of " + std::to_string(pending_[end].payload.size()) +
                                     " bytes is larger than the log allows");
      const std::uint64_t size = encoded_size(pending_[end]);
      if (end != first && bytes + size > record_limit()) break;
      bytes += size;
    }
    if (bytes > record_limit())
      return fail(Errc::limit, "a record of " + std::to_string(bytes) +
                                   " bytes does not fit a quarter of a log segment: configure "
                                   "larger segments");
    BFTMETA_TRY(write_records(std::span(pending_).subspan(first, end - first)));
    durable_ += end - first;
    first = end;
  }
  return {};
}

Status Log::write_records(std::span<const Record> records) {
  std::uint64_t length = 0;
  for (const Record& r : records) length += encoded_size(r);
  const auto fits = [&] {
    std::uint64_t all = length;
    for (const Record& r : repeat_) all += encoded_size(r);
    return offset_ + padded_size(all) <= segments_.back().size;
  };
  if (current_ == nullptr || !fits()) BFTMETA_TRY(open_segment());
  BFTMETA_ASSERT(fits());
  BFTMETA_TRY(write_group(repeat_, records, repeat_flags_));
  repeat_.clear();
  repeat_flags_ = 0;
  for (const Record& r : records)
    if (r.record_class == RecordClass::control) repeat_.push_back(r);
  return {};
}

Status Log::write_group(std::span<const Record> repeated, std::span<const Record> records,
                        std::uint32_t flags) {
  GroupHeader header;
  header.segment = segments_.back().id;
  header.offset = offset_;
  header.lsn = group_lsn_ + 1;
  header.flags = flags | (control_lost_ ? group_flags::kControlLost : 0);
  header.previous = group_digest_;
  const Bytes bytes = encode_group(secret_, header, repeated, records);
  BFTMETA_TRY(current_->write_at(offset_, bytes));
  BFTMETA_TRY(current_->sync_data());

  for (std::uint32_t i = 0; i < records.size(); ++i) {
    const Record& r = records[i];
    if (r.record_class != RecordClass::body) continue;
    segments_.back().max_body_seq = std::max(segments_.back().max_body_seq, r.seq);
    add_to_index({r.kind, r.seq, r.digest, header.segment, offset_, i});
  }
  offset_ += bytes.size();
  segments_.back().used = offset_;
  group_lsn_ = header.lsn;
  group_digest_ = header.digest;
  return {};
}

Status Log::open_segment() {
  std::vector<Record> state = state_();
  std::uint64_t length = 0;
  for (const Record& r : state) {
    BFTMETA_ASSERT(r.record_class == RecordClass::control);
    length += encoded_size(r);
  }
  if (length > record_limit() || state.size() > kMaxGroupRecords)
    return fail(Errc::limit, "control state of " + std::to_string(length) +
                                 " bytes does not fit a quarter of a log segment: configure "
                                 "larger segments");
  const std::uint64_t id = segments_.back().id + 1;
  const std::string path = segment_path(directory_, id);
  current_.reset();
  BFTMETA_ASSIGN(const std::string file, next_segment_file());
  BFTMETA_TRY(fs_.rename(file, path));
  BFTMETA_TRY(fs_.sync_directory(directory_));
  BFTMETA_ASSIGN(current_, fs_.open(path, OpenMode::read_write));
  segments_.push_back({id, options_.segment_bytes, 0, 0, false});
  offset_ = 0;
  BFTMETA_TRY(write_group({}, state, group_flags::kState));
  segments_.back().has_state = true;
  repeat_ = std::move(state);
  repeat_flags_ = group_flags::kRepeatsState;
  return {};
}

// The oldest segment if nobody needs it, else a spare one. When the disk is full, old segments that
// are kept only for lagging peers go first.
Result<std::string> Log::next_segment_file() {
  std::uint64_t retain = options_.retain_bytes;
  for (;;) {
    while (can_recycle(retain)) {
      const bool reusable = segments_.front().size == options_.segment_bytes &&
                            !given_up_.contains(segments_.front().id);
      const std::string path = drop_oldest();
      // One more than is needed: the log shrinks back to its size after a long pin.
      if (reusable && !can_recycle(retain)) return path;
      BFTMETA_TRY(fs_.unlink(path));
      BFTMETA_TRY(fs_.sync_directory(directory_));
    }
    auto spare = pool_.take();
    if (spare || spare.error().code != Errc::disk_full) return spare;
    no_segment_ = retain == 0;
    if (no_segment_) return spare;
    retain = 0;
  }
}

// Only what is superseded by the whole state group of a later segment may go. Segments go in order,
// so that what is left is one chain.
bool Log::needed(const SegmentInfo& oldest) const {
  return oldest.max_body_seq > flushed_seq_ ||
         std::none_of(segments_.begin() + 1, segments_.end(), [this](const SegmentInfo& s) {
           return s.has_state && !given_up_.contains(s.id);
         });
}

// What was written counts: each start leaves a segment behind that may be almost empty, and a few
// starts must not push the history out that peers may need.
bool Log::can_recycle(std::uint64_t retain_bytes) const {
  const SegmentInfo& oldest = segments_.front();
  if (needed(oldest)) return false;
  std::uint64_t used = 0;  // by those that stay
  for (auto s = segments_.begin() + 1; s != segments_.end(); ++s) used += s->used;
  const std::uint64_t size = bytes_on_disk() - oldest.size;
  return used >= retain_bytes || size / kMaxRetainFactor >= retain_bytes;
}

std::string Log::drop_oldest() {
  const std::uint64_t id = segments_.front().id;
  if (const auto owned = bodies_of_segment_.find(id); owned != bodies_of_segment_.end()) {
    for (const auto& [kind, seq] : owned->second) {
      auto& of_kind = bodies_[kind];
      auto [it, end] = of_kind.equal_range(seq);
      while (it != end) it = it->second.segment == id ? of_kind.erase(it) : std::next(it);
    }
    bodies_of_segment_.erase(owned);
  }
  segments_.erase(segments_.begin());
  damaged_gone_ += given_up_.erase(id);
  return segment_path(directory_, id);
}

void Log::add_to_index(const BodyLocation& body) {
  auto& of_kind = bodies_[body.kind];
  of_kind.emplace_hint(of_kind.end(), body.seq, body);  // behind its equals
  bodies_of_segment_[body.segment].emplace_back(body.kind, body.seq);
}

Result<std::optional<Bytes>> Log::read(std::uint8_t kind, std::uint64_t seq,
                                       const std::optional<Hash>& digest) {
  const auto of_kind = bodies_.find(kind);
  if (of_kind == bodies_.end()) return std::nullopt;
  const auto [first, last] = of_kind->second.equal_range(seq);
  for (auto it = last; it != first;) {
    const BodyLocation& at = (--it)->second;
    if (digest && at.digest != digest) continue;
    BFTMETA_ASSIGN(const std::unique_ptr<File> file,
                   fs_.open(segment_path(directory_, at.segment), OpenMode::read_write));
    auto body = read_body(*file, at);
    if (body) return std::optional(std::move(*body));
    if (std::ranges::find(damage_, at.segment, &LogCheck::Damage::segment) == damage_.end())
      damage_.push_back({at.segment, body.error().message});
    return tl::make_unexpected(std::move(body.error()));
  }
  return std::nullopt;
}

Result<Bytes> Log::read_body(File& file, const BodyLocation& at) const {
  const auto segment = std::ranges::find(segments_, at.segment, &SegmentInfo::id);
  BFTMETA_ASSERT(segment != segments_.end());
  BFTMETA_ASSIGN(Group group, read_group(file, secret_, at.segment, at.offset, segment->size));
  if (at.index >= group.records.size())
    return fail(Errc::corrupt, "log segment " + std::to_string(at.segment) +
                                   " holds another group at offset " + std::to_string(at.offset));
  return std::move(group.records[at.index].payload);
}

std::optional<std::uint64_t> Log::oldest_body(std::uint8_t kind) const {
  const auto it = bodies_.find(kind);
  if (it == bodies_.end() || it->second.empty()) return std::nullopt;
  return it->second.begin()->first;
}

std::uint64_t Log::bytes_on_disk() const {
  std::uint64_t total = 0;
  for (const SegmentInfo& s : segments_) total += s.size;
  return total;
}

// Not what a commit under way may have in memory only.
std::vector<WrittenSegment> Log::written() const {
  std::vector<WrittenSegment> all;
  for (const SegmentInfo& s : segments_) all.push_back({s.id, s.size, s.used});
  return all;
}

bool Log::give_up(std::uint64_t segment) {
  return std::ranges::any_of(segments_, [&](const SegmentInfo& s) { return s.id == segment; }) &&
         given_up_.insert(segment).second;
}

Result<bool> Log::let_go() {
  if (given_up_.empty() || segments_.front().id > *given_up_.rbegin() || needed(segments_.front()))
    return false;
  BFTMETA_TRY(fs_.unlink(drop_oldest()));
  BFTMETA_TRY(fs_.sync_directory(directory_));
  return true;
}

}  // namespace bftmeta::storage
