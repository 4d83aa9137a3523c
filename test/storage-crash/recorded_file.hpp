// Everything that a library in this process does to one file, in order: writes and syncs, seen
// where it calls the C library (the program's own pwrite, fdatasync and so on stand before the C
// library's). From that, what the disk may hold after a power cut at any moment. For liblmdb, which
// has no seam of its own. Nothing is really synced while a recording lives.
// Thread-safety: one recording at a time; the file is used by one thread.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/bytes.hpp"

namespace bftmeta::test {

constexpr std::uint64_t kSector = 512;  // what a disk writes whole or not at all

struct FileEvent {
  enum class Kind : std::uint8_t {
    write,
    synced_write,  // through a descriptor that syncs: durable when it returns
    sync,          // all writes before it are durable
    renamed,       // the file has another name from here on
  };
  Kind kind = Kind::sync;
  std::uint64_t offset = 0;
  Bytes bytes;
};

struct FileHistory {
  Bytes before;  // what the file held, durably
  // Replayed in full they make the file as it is, or something escaped: tests must compare.
  std::vector<FileEvent> events;
};

class FileRecording {
 public:
  // Absolute path; the file need not exist yet.
  explicit FileRecording(std::string path);
  ~FileRecording();
  FileRecording(const FileRecording&) = delete;
  FileRecording& operator=(const FileRecording&) = delete;

  const FileHistory& history() const { return history_; }
  const std::vector<FileEvent>& events() const { return history_.events; }
  // The power goes off behind the `count` next events: later ones fail with EIO and do nothing.
  void cut_power_after(std::size_t count) { last_event_ = events().size() + count; }

  // For the replaced calls.
  bool is_of(int descriptor) const;
  bool is_of(std::string_view path) const { return path == path_; }
  bool add(FileEvent event);  // false: the power is off
  static FileRecording* current();

 private:
  const std::string path_;
  FileHistory history_;
  std::size_t last_event_ = SIZE_MAX;
};

// What of the unsynced sectors is on the disk.
enum class Survival : std::uint8_t {
  none,
  all,
  some,    // each one or not
  newest,  // of the last write only: the kernel chose to write it first
};
inline constexpr Survival kSurvivals[] = {Survival::none, Survival::all, Survival::some,
                                          Survival::newest};

// The file after a power cut behind the first `count` events. Its size may be known to the disk
// although what stands there is not: zeros then.
Bytes crash_image(const FileHistory& history, std::size_t count, Survival survival,
                  std::mt19937_64& random);

}  // namespace bftmeta::test
