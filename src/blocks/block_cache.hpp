// Recently used blocks in memory, in front of another store. Content-addressed, so an entry is
// never stale. Several readers of a block that is not here wait for one fetch. Memory: `capacity`
// bytes plus what is being fetched. Thread-safety: all calls.
#pragma once

#include <condition_variable>
#include <list>
#include <map>
#include <mutex>
#include <set>

#include "blocks/block_store.hpp"

namespace bftmeta::blocks {

class BlockCache final : public BlockStore {
 public:
  // `store` outlives the cache; capacity in bytes.
  BlockCache(BlockStore& store, std::size_t capacity);

  Result<Hash> put(ByteView content) override;
  Result<Block> get(const Hash& digest) override;
  std::uint64_t holders() const override { return store_.holders(); }
  Result<bool> has(const Hash& digest) override;

 private:
  struct Entry {
    Hash digest{};
    Block block;
  };

  Block find_locked(const Hash& digest);
  void insert_locked(const Hash& digest, Block block);

  BlockStore& store_;
  const std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable fetched_;
  std::list<Entry> entries_;  // most recently used first
  std::map<Hash, std::list<Entry>::iterator> index_;
  std::set<Hash> fetching_;
  std::size_t bytes_ = 0;
};

}  // namespace bftmeta::blocks
