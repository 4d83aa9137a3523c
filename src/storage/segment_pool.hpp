// The spare segment of the log: preallocated and zero-filled (an unwritten extent would make each
// fdatasync a metadata operation), so that opening a segment allocates nothing. It is named fill-*
// until it is whole and synced, then free-*. Beside it lies the file "reserve", the space of
// kReserve segments, which is never used: a log that would have to take it does not go on.
// Thread-safety: every member; fill_slice() is meant for a background thread.
#pragma once

#include <deque>
#include <mutex>

#include "storage/file.hpp"

namespace bftmeta::storage {

class SegmentPool {
 public:
  static constexpr std::size_t kReserve = 2;
  static constexpr std::size_t kSlice = 1U << 20;  // about 2 ms with its sync on a small SSD

  SegmentPool(FileSystem& fs, std::string directory, std::uint64_t segment_bytes)
      : fs_(fs), directory_(std::move(directory)), segment_bytes_(segment_bytes) {}

  // Removes what an earlier process left half done, reserves, and makes the first spare segment. A
  // full disk is an error only if there is no reserve yet.
  Status open();

  // Writes and syncs the next slice of zeros. Returns whether there is more to do. Errors:
  // disk_full (found before anything is written, and what was taken is given back), io.
  Result<bool> fill_slice();

  // The path of a whole segment; the caller renames it. Waits for the filling if none is ready.
  Result<std::string> take();

 private:
  Status reserve();
  // One sync for so many bytes.
  Result<bool> fill_slice_locked(std::uint64_t bytes);
  Status write_zeros(std::uint64_t end);

  FileSystem& fs_;
  const std::string directory_;
  const std::uint64_t segment_bytes_;
  std::mutex mutex_;
  std::deque<std::string> free_;
  std::unique_ptr<File> filling_;
  std::string filling_path_;
  std::uint64_t filled_ = 0;
  std::uint64_t next_number_ = 0;
};

}  // namespace bftmeta::storage
