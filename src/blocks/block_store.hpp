// File data by content: a block is 1..kBlockSize bytes, its name the plain SHA-256 of them. Every
// implementation keeps two promises: put() returns only when the block is durable, get() returns
// only bytes that match the digest. Thread-safety: every call of every implementation is safe from
// any thread; calls may take as long as a disk or the network does.
#pragma once

#include <memory>

#include "base/bytes.hpp"
#include "base/limits.hpp"
#include "base/result.hpp"

namespace bftmeta::blocks {

using Block = std::shared_ptr<const Bytes>;

class BlockStore {
 public:
  virtual ~BlockStore() = default;

  // Its digest, once it is durable. Errors: invalid_argument (empty or too long), disk_full, io,
  // unreachable (too few replicas in time), busy.
  virtual Result<Hash> put(ByteView content) = 0;
  // Errors: not_found (nobody asked has it), corrupt (the only copies have rotted), io,
  // unreachable.
  virtual Result<Block> get(const Hash& digest) = 0;
  // A number that changes when others hold the blocks than before. What was put under an earlier
  // one, and is named by no file yet, may be held by too few of them: put it again.
  virtual std::uint64_t holders() const { return 0; }
  // True if get() would succeed. Errors: io, unreachable.
  virtual Result<bool> has(const Hash& digest) = 0;
};

// 1..kBlockSize bytes, else invalid_argument.
Status check_block_size(ByteView content);

}  // namespace bftmeta::blocks
