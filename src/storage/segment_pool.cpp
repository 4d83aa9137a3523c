#include "storage/segment_pool.hpp"

#include <charconv>

namespace bftmeta::storage {

Status SegmentPool::open() {
  const std::lock_guard lock(mutex_);
  BFTMETA_ASSIGN(const std::vector<std::string> names, fs_.list(directory_));
  for (const std::string& name : names) {
    const bool whole = name.starts_with("free-");
    if (!whole && !name.starts_with("fill-")) continue;
    const std::string path = directory_ + "/" + name;
    std::uint64_t size = 0;
    if (whole) {
      BFTMETA_ASSIGN(const std::unique_ptr<File> file, fs_.open(path, OpenMode::read_write));
      BFTMETA_ASSIGN(size, file->size());
    }
    if (size != segment_bytes_) {
      BFTMETA_TRY(fs_.unlink(path));
      continue;
    }
    free_.push_back(path);
    std::uint64_t number = 0;
    std::from_chars(name.data() + 5, name.data() + name.size(), number);
    next_number_ = std::max(next_number_, number + 1);
  }
  for (bool more = true; more;) {
    BFTMETA_ASSIGN(more, fill_slice_locked());
  }
  return {};
}

Result<bool> SegmentPool::fill_slice() {
  const std::lock_guard lock(mutex_);
  return fill_slice_locked();
}

Result<std::string> SegmentPool::take() {
  const std::lock_guard lock(mutex_);
  while (free_.size() <= kReserve) BFTMETA_TRY(fill_slice_locked());
  std::string path = std::move(free_.front());
  free_.pop_front();
  return path;
}

Result<bool> SegmentPool::fill_slice_locked() {
  if (free_.size() > kReserve) return false;
  if (filling_ == nullptr) {
    filling_path_ = directory_ + "/fill-" + std::to_string(next_number_);
    filled_ = 0;
    BFTMETA_ASSIGN(filling_, fs_.open(filling_path_, OpenMode::create));
  }
  const Bytes zeros(
      static_cast<std::size_t>(std::min<std::uint64_t>(kSlice, segment_bytes_ - filled_)));
  Status written = filling_->write_at(filled_, zeros);
  if (written) written = filling_->sync_data();
  if (!written) {
    filling_.reset();
    if (written.error().code == Errc::disk_full) BFTMETA_TRY(fs_.unlink(filling_path_));
    return fail("cannot preallocate a log segment", written.error());
  }
  filled_ += zeros.size();
  if (filled_ < segment_bytes_) return true;

  filling_.reset();
  const std::string path = directory_ + "/free-" + std::to_string(next_number_++);
  BFTMETA_TRY(fs_.rename(filling_path_, path));
  BFTMETA_TRY(fs_.sync_directory(directory_));
  free_.push_back(path);
  return free_.size() <= kReserve;
}

}  // namespace bftmeta::storage
