#include "storage/log_check.hpp"

#include "storage/log_scan.hpp"

namespace bftmeta::storage {

void LogCheck::begin(std::vector<WrittenSegment> segments) {
  segments_ = std::move(segments);
  at_ = 0;
  offset_ = 0;
  file_.reset();
}

// The disk's own bytes, not those of the page cache.
Result<Group> LogCheck::next_group() {
  const WrittenSegment& segment = segments_[at_];
  if (offset_ == 0) BFTMETA_TRY(file_->reload());
  return read_group(*file_, secret_, segment.id, offset_, segment.size);
}

void LogCheck::leave() {
  ++at_;
  offset_ = 0;
  file_.reset();
}

LogCheck::Slice LogCheck::read(std::uint64_t bytes) {
  Slice slice;
  while (at_ < segments_.size() && slice.bytes < bytes) {
    const WrittenSegment& segment = segments_[at_];
    if (offset_ >= segment.used) {
      leave();
      continue;
    }
    if (file_ == nullptr) {
      auto file = fs_.open(segment_path(directory_, segment.id), OpenMode::read_write);
      if (!file) {  // it was recycled; or this process has too many files open, and looks again
        leave();
        continue;
      }
      file_ = std::move(*file);
    }
    const auto group = next_group();
    if (!group) {
      slice.damaged.push_back({segment.id, group.error().message});
      leave();
      continue;
    }
    const std::uint64_t size = padded_size(group->header.length);
    slice.bytes += size;
    offset_ += size;
  }
  slice.done = at_ == segments_.size();
  return slice;
}

}  // namespace bftmeta::storage
