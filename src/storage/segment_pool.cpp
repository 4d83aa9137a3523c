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
  BFTMETA_TRY(reserve());
  const auto filled = fill_slice_locked(segment_bytes_);
  if (!filled && filled.error().code != Errc::disk_full) return tl::make_unexpected(filled.error());
  return {};
}

Status SegmentPool::reserve() {
  const std::string path = directory_ + "/reserve";
  const std::uint64_t wanted = kReserve * segment_bytes_;
  BFTMETA_ASSIGN(const bool present, fs_.exists(path));
  if (present) {
    BFTMETA_ASSIGN(const std::unique_ptr<File> file, fs_.open(path, OpenMode::read_write));
    BFTMETA_ASSIGN(const std::uint64_t size, file->size());
    if (size == wanted) return {};
    BFTMETA_TRY(fs_.unlink(path));
  }
  BFTMETA_ASSIGN(const std::unique_ptr<File> file, fs_.open(path, OpenMode::create));
  Status made = file->allocate(wanted);
  if (made) made = file->sync_data();
  if (!made) return fail("cannot reserve space for the log", made.error());
  return fs_.sync_directory(directory_);
}

Result<bool> SegmentPool::fill_slice() {
  const std::lock_guard lock(mutex_);
  return fill_slice_locked(kSlice);
}

Result<std::string> SegmentPool::take() {
  const std::lock_guard lock(mutex_);
  while (free_.empty()) BFTMETA_TRY(fill_slice_locked(segment_bytes_));
  std::string path = std::move(free_.front());
  free_.pop_front();
  return path;
}

Status SegmentPool::write_zeros(std::uint64_t end) {
  const Bytes zeros(kSlice);
  while (filled_ < end) {
    const ByteView part = ByteView(zeros).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(kSlice, end - filled_)));
    BFTMETA_TRY(filling_->write_at(filled_, part));
    filled_ += part.size();
  }
  return filling_->sync_data();
}

Result<bool> SegmentPool::fill_slice_locked(std::uint64_t bytes) {
  if (!free_.empty()) return false;
  Status written;
  if (filling_ == nullptr) {
    filling_path_ = directory_ + "/fill-" + std::to_string(next_number_);
    filled_ = 0;
    BFTMETA_ASSIGN(filling_, fs_.open(filling_path_, OpenMode::create));
    // The space first: whether it is there shows without writing up to a whole segment of zeros,
    // again and again while the disk is full.
    written = filling_->allocate(segment_bytes_);
  }
  if (written) written = write_zeros(std::min(segment_bytes_, filled_ + bytes));
  if (!written) {
    filling_.reset();
    if (written.error().code == Errc::disk_full) BFTMETA_TRY(fs_.unlink(filling_path_));
    return fail("cannot preallocate a log segment", written.error());
  }
  if (filled_ < segment_bytes_) return true;

  filling_.reset();
  const std::string path = directory_ + "/free-" + std::to_string(next_number_++);
  BFTMETA_TRY(fs_.rename(filling_path_, path));
  BFTMETA_TRY(fs_.sync_directory(directory_));
  free_.push_back(path);
  return false;
}

}  // namespace bftmeta::storage
