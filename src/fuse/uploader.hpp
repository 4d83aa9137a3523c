// Stores whole blocks in the background, so that a writer does not wait for every block, and counts
// the bytes of file data that the mount holds in memory for all files together. Thread-safety: all
// calls.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "blocks/block_store.hpp"

namespace bftmeta::fuse {

// Bytes written by users that the cluster does not hold yet.
class DirtyBudget {
 public:
  explicit DirtyBudget(std::size_t limit) : limit_(limit) {}

  void add(std::size_t bytes) { used_ += bytes; }
  void remove(std::size_t bytes) { used_ -= bytes; }
  bool over() const { return used_ > limit_; }
  std::size_t used() const { return used_; }

 private:
  const std::size_t limit_;
  std::atomic<std::size_t> used_{0};
};

// One block on its way. The content stays until the last owner lets go.
class Upload {
 public:
  explicit Upload(Bytes content) : content_(std::make_shared<const Bytes>(std::move(content))) {}

  std::uint32_t length() const { return static_cast<std::uint32_t>(content_->size()); }
  const Bytes& content() const { return *content_; }
  bool done() const;
  // Waits. The digest, once the block is durable, or why it is not.
  Result<Hash> wait() const;
  // BlockStore::holders() of its put. Precondition: done().
  std::uint64_t holders() const { return holders_; }

 private:
  friend class Uploader;
  mutable std::mutex mutex_;
  mutable std::condition_variable finished_;
  blocks::Block content_;
  std::optional<Result<Hash>> result_;
  std::uint64_t holders_ = 0;
};
using UploadPtr = std::shared_ptr<Upload>;

class Uploader {
 public:
  // `store` outlives it.
  Uploader(blocks::BlockStore& store, std::size_t threads);
  ~Uploader();  // finishes what was started
  Uploader(const Uploader&) = delete;
  Uploader& operator=(const Uploader&) = delete;

  // The queue is bounded by its users: they hold the content and count it in the DirtyBudget.
  UploadPtr start(Bytes content);
  std::uint64_t holders() const { return store_.holders(); }

 private:
  void run();

  blocks::BlockStore& store_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<UploadPtr> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace bftmeta::fuse
