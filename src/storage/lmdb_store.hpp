// The tree's PageStore in LMDB: two tables, leaves under their keys and node records under prefix
// || unused bits, and one record with generation, root and meta, all written in one transaction.
// Flags: NOMETASYNC (data pages are synced by a commit, the page that points at them is not): after
// a power cut the newest generation may be gone, the one before it is whole. Only after sync() is
// the newest durable; the log keeps everything above it until then (protocol §3.4). Never WRITEMAP,
// NOSYNC or MAPASYNC: the kernel would write in any order, and two metas cannot undo that.
// LMDB has no checksums; the tree checks what it reads against hashes. A damaged file may still
// raise a signal (lmdb_guard.hpp) or end in Errc::corrupt, after which broken() says why: the store
// is then set aside and fetched from peers.
// Thread-safety: snapshot(), sync() and snapshots from any thread; a writer must be begun, used,
// committed and destroyed on one thread. One process per directory (the data directory's lock).
#pragma once

#include "tree/page_store.hpp"

namespace bftmeta::storage {

struct LmdbOptions {
  // Address space, and the largest size of the file. It may be raised at any start.
  std::uint64_t map_bytes = 1ULL << 40;
};

// Largest leaf, root record and meta; larger than anything that fits a frame.
constexpr std::size_t kMaxStoredValue = 1U << 20;

class LmdbPageStore final : public tree::PageStore {
 public:
  // Makes the directory and an empty store if there is none; a power cut leaves that whole or not
  // there. Errors: corrupt, config (the map does not fit the address space), disk_full, permission,
  // io; each message names the directory.
  static Result<std::unique_ptr<LmdbPageStore>> open(const std::string& directory,
                                                     const LmdbOptions& options);
  ~LmdbPageStore() override;

  // Pins a read transaction for as long as it lives: pages freed meanwhile are not reused.
  Result<std::shared_ptr<const tree::Snapshot>> snapshot() const override;

  // Waits for another writer. Errors of the writer: limit (key or value too large), disk_full (map
  // or disk), corrupt, io. After an error only its destruction makes sense.
  Result<std::unique_ptr<tree::GenerationWriter>> begin() override;

  // Makes the newest generation durable.
  Status sync();

  // The first of its errors that no record but LMDB's own structure is to blame for.
  std::optional<Error> broken() const;

  // Bytes of the file in use, and of the map.
  std::uint64_t used_bytes() const;
  std::uint64_t map_bytes() const;

 private:
  class Environment;
  class View;
  class Writer;

  explicit LmdbPageStore(std::shared_ptr<Environment> environment);

  std::shared_ptr<Environment> environment_;
};

}  // namespace bftmeta::storage
