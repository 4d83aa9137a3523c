// Blocks as files below a directory: <root>/ab/cdef… for the block named abcdef…. A file is written
// beside, synced, renamed and its directory synced before put() answers, so a name never leads to
// half a block. Content is checked on every read; a file that has rotted counts as absent, is
// reported to `report`, and is replaced by the next put of its block. The plain-directory backend,
// and what a replica keeps. Thread-safety: all calls; one process per directory (a lock file).
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "blocks/block_store.hpp"
#include "storage/file.hpp"

namespace bftmeta::blocks {

class BlockDirectory final : public BlockStore {
 public:
  // Told of rotten files and failed writes, from any thread; one line each.
  using Report = std::function<void(const std::string& line)>;

  // Makes the directory if need be (the parent must exist) and removes what a crash left
  // unfinished. Errors: busy (another process has it), permission, disk_full, io.
  static Result<std::unique_ptr<BlockDirectory>> open(storage::FileSystem& fs, std::string root,
                                                      Report report);

  Result<Hash> put(ByteView content) override;
  Result<Block> get(const Hash& digest) override;
  Result<bool> has(const Hash& digest) override;

  // Whether there is a file of that name. Its content was right when it got it. Errors: io.
  Result<bool> named(const Hash& digest) { return fs_.exists(path_of(digest)); }

  // Several blocks whose digests the caller has checked, with one directory sync per subdirectory
  // for all of them. One status each, in order.
  struct Named {
    Hash digest{};
    ByteView content;
  };
  std::vector<Status> put_group(std::span<const Named> group);

 private:
  BlockDirectory(storage::FileSystem& fs, std::string root, Report report);
  Status prepare();

  std::string subdirectory_of(const Hash& digest) const;
  std::string path_of(const Hash& digest) const;
  Status write_beside(const std::string& path, ByteView content);
  // Leaves a synced file of unique name; empty when a good copy is in place already.
  Result<std::string> stage(const Named& block);
  // Makes and syncs the subdirectories that these blocks are the first of.
  Status make_subdirectories(std::span<const Named> group);

  storage::FileSystem& fs_;
  const std::string root_;
  const Report report_;
  std::unique_ptr<storage::FileLock> lock_;
  std::atomic<std::uint64_t> next_unfinished_{0};
  std::array<std::atomic<bool>, 256> subdirectory_known_{};
};

}  // namespace bftmeta::blocks
