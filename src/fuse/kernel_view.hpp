// What the kernel was last told of an inode, so that open() knows whether cached attributes and
// pages are still right (close-to-open). Forgetting an entry costs an invalidation, nothing more;
// so the table is simply emptied when it is full. Thread-safety: all calls.
#pragma once

#include <mutex>
#include <unordered_map>

#include "schema/records.hpp"

namespace bftmeta::fuse {

class KernelView {
 public:
  static constexpr std::size_t kMaxEntries = 65536;

  // Attributes of this version went to the kernel.
  void told(std::uint64_t ino, std::uint64_t version) {
    std::lock_guard lock(mutex_);
    if (entries_.size() >= kMaxEntries) entries_.clear();
    entries_[ino].attributes = version;
  }
  bool knows(std::uint64_t ino, std::uint64_t version) {
    std::lock_guard lock(mutex_);
    const auto it = entries_.find(ino);
    return it != entries_.end() && it->second.attributes == version;
  }
  // The kernel's pages of this file are those of this version, or were written through this mount
  // on top of it.
  void pages_are(std::uint64_t ino, std::uint64_t version) {
    std::lock_guard lock(mutex_);
    if (entries_.size() >= kMaxEntries) entries_.clear();
    entries_[ino].pages = version;
  }
  bool has_pages(std::uint64_t ino, std::uint64_t version) {
    std::lock_guard lock(mutex_);
    const auto it = entries_.find(ino);
    return it != entries_.end() && it->second.pages == version;
  }

 private:
  struct Entry {
    std::uint64_t attributes = 0;
    std::uint64_t pages = 0;
  };
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, Entry> entries_;
};

}  // namespace bftmeta::fuse
