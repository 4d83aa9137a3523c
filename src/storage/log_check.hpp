// Reads what the log has written, a slice at a time, and tells which segments are not what was
// written any more (protocol §7.8). The log goes on meanwhile: what is reported may have been
// recycled since, which Log::give_up() knows. Thread-safety: one thread, which need not be the
// log's.
#pragma once

#include <string>
#include <vector>

#include "storage/file.hpp"
#include "storage/log_format.hpp"

namespace bftmeta::storage {

struct WrittenSegment {
  std::uint64_t id = 0;
  std::uint64_t size = 0;  // of the file
  std::uint64_t used = 0;  // up to the end of its last durable group
};

class LogCheck {
 public:
  LogCheck(FileSystem& fs, std::string directory, const LogSecret& secret)
      : fs_(fs), directory_(std::move(directory)), secret_(secret) {}

  // From the beginning of the first of these.
  void begin(std::vector<WrittenSegment> segments);

  struct Damage {
    std::uint64_t segment = 0;
    std::string why;  // with the place
  };
  struct Slice {
    std::uint64_t bytes = 0;
    std::vector<Damage> damaged;  // of each segment the first place
    bool done = false;
  };
  // Whole groups until these are `bytes` or more.
  Slice read(std::uint64_t bytes);

 private:
  Result<Group> next_group();
  void leave();

  FileSystem& fs_;
  const std::string directory_;
  const LogSecret secret_;
  std::vector<WrittenSegment> segments_;
  std::size_t at_ = 0;          // in segments_
  std::unique_ptr<File> file_;  // of that one; null before its first group
  std::uint64_t offset_ = 0;
};

}  // namespace bftmeta::storage
