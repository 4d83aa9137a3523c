#include "blocks/block_cache.hpp"

namespace bftmeta::blocks {

BlockCache::BlockCache(BlockStore& store, std::size_t capacity)
    : store_(store), capacity_(capacity) {}

// What is written is seldom read back soon, and caching it would need a copy of every block.
Result<Hash> BlockCache::put(ByteView content) { return store_.put(content); }

Result<Block> BlockCache::get(const Hash& digest) {
  {
    std::unique_lock lock(mutex_);
    fetched_.wait(lock, [&] { return index_.contains(digest) || !fetching_.contains(digest); });
    if (Block block = find_locked(digest)) return block;
    fetching_.insert(digest);
  }
  Result<Block> block = store_.get(digest);
  {
    std::lock_guard lock(mutex_);
    fetching_.erase(digest);
    if (block) insert_locked(digest, *block);
  }
  fetched_.notify_all();
  return block;
}

Result<bool> BlockCache::has(const Hash& digest) {
  {
    std::lock_guard lock(mutex_);
    if (find_locked(digest)) return true;
  }
  return store_.has(digest);
}

Block BlockCache::find_locked(const Hash& digest) {
  const auto it = index_.find(digest);
  if (it == index_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, it->second);
  return it->second->block;
}

void BlockCache::insert_locked(const Hash& digest, Block block) {
  if (index_.contains(digest)) return;
  bytes_ += block->size();
  entries_.push_front({digest, std::move(block)});
  index_[digest] = entries_.begin();
  while (bytes_ > capacity_ && !entries_.empty()) {
    bytes_ -= entries_.back().block->size();
    index_.erase(entries_.back().digest);
    entries_.pop_back();
  }
}

}  // namespace bftmeta::blocks
