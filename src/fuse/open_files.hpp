// The regular files that are open in this mount: one OpenFile per inode, shared by its handles, so
// that what one handle has written every other one reads. Thread-safety: all calls.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "fuse/dirty_file.hpp"

namespace bftmeta::fuse {

struct OpenFile {
  OpenFile(std::uint64_t i, FileServices& services) : ino(i), data(i, services) {}

  const std::uint64_t ino;
  DirtyFile data;
  std::atomic<bool> held{false};  // unlinked, and kept by this mount's session
  std::atomic<bool> gone{false};  // unlinked: what is written need not outlive the last handle
};
using OpenFilePtr = std::shared_ptr<OpenFile>;

// What fi->fh points to. The credentials of open() count for everything done through the handle.
struct FileHandle {
  OpenFilePtr file;
  schema::Caller caller;
};

class OpenFiles {
 public:
  explicit OpenFiles(FileServices& services) : services_(services) {}

  // For one more handle.
  OpenFilePtr acquire(std::uint64_t ino);
  // Null if the inode is not open.
  OpenFilePtr find(std::uint64_t ino);
  // One handle less. True if it was the last one: the inode is not open any more.
  bool release(const OpenFilePtr& file);
  std::vector<OpenFilePtr> all();

 private:
  struct Entry {
    OpenFilePtr file;
    unsigned handles = 0;
  };

  FileServices& services_;
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, Entry> files_;
};

}  // namespace bftmeta::fuse
