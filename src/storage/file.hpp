// The file seam: everything that the log, the data directory and the block store do to a disk goes
// through these two interfaces, so that tests can lose, tear, rot and misdirect writes. Paths are
// plain strings. Nothing is durable before sync_data() (contents and size) and sync_directory()
// (names) have returned success; after a failed sync nothing may be assumed about what the disk
// holds, and trying again proves nothing. Thread-safety: a FileSystem may be used by any number of
// threads, a File by one at a time.
#pragma once

#include <memory>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace bftmeta::storage {

// Error codes of both: not_found, already_exists, permission, disk_full (no space, quota), busy (a
// lock is held), io for the rest. Messages name the path and the reason.
class File {
 public:
  virtual ~File() = default;

  // Reads up to out.size() bytes; fewer are returned only at the end of the file.
  virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> out) = 0;
  // Writes all of it or fails. Extends the file when need be.
  virtual Status write_at(std::uint64_t offset, ByteView bytes) = 0;
  // Owns the space of the first `size` bytes from now on, without writing it.
  virtual Status allocate(std::uint64_t size) = 0;
  virtual Status sync_data() = 0;
  // Syncs and forgets cached pages, so that what is read next is what the disk holds.
  virtual Status reload() = 0;
  virtual Result<std::uint64_t> size() = 0;
};

// Held as long as the object lives; the kernel drops it when the process ends in whatever way.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

enum class OpenMode : std::uint8_t {
  read_write,  // must exist
  create,      // must not exist; mode 0600
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  virtual Result<bool> exists(const std::string& path) = 0;
  // Names without "." and "..", sorted.
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;
  virtual Status make_directory(const std::string& path) = 0;  // mode 0700
  // Replaces `to` if it is a file.
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  virtual Status unlink(const std::string& path) = 0;
  virtual Status remove_directory(const std::string& path) = 0;  // must be empty
  virtual Status sync_directory(const std::string& path) = 0;
  // Exclusive, at once or Errc::busy; makes the file if need be.
  virtual Result<std::unique_ptr<FileLock>> lock(const std::string& path) = 0;
};

// The real one.
FileSystem& posix_file_system();

// The directory part, "." if there is none.
std::string parent_of(const std::string& path);

// The whole file. Errc::limit when it is longer than max_size.
Result<Bytes> read_file(FileSystem& fs, const std::string& path, std::size_t max_size);

// Atomically and durably: written beside under path + ".new", synced, renamed, directory synced. A
// crash leaves the old contents or the new ones.
Status write_file(FileSystem& fs, const std::string& path, ByteView contents);

}  // namespace bftmeta::storage
