// One immutable version of the authenticated map: a history-independent binary Patricia trie whose
// root hash is a pure function of its keys and values (protocol §7). Versions share structure; what
// was flushed and is not pinned stays in the store (a Snapshot) and is loaded, checked and dropped
// again by whoever needs it.
// Invariant: an unloaded reference under a node lies in a key region in which the version's
// snapshot holds exactly the leaves of that subtree.
// Thread-safety: a value, cheap to copy (a few reference counts). Const calls on copies, or on one
// object, may run on any number of threads while new versions are made from it.
#pragma once

#include <memory>
#include <span>

#include "base/result.hpp"
#include "tree/faults.hpp"
#include "tree/loader.hpp"
#include "tree/node.hpp"
#include "tree/overlay.hpp"
#include "tree/page_store.hpp"
#include "tree/reader.hpp"

namespace bftmeta::tree {

class WriteSet;

struct VersionOptions {
  // How many of the uppermost nodes stay in memory after a flush, about; 150 bytes each. The
  // default holds all node records of two million leaves in 40 MB.
  std::uint64_t pinned_nodes = 262144;
};

// What a batch removed and the store may still hold; newest first, iteratively destroyed.
struct Erased {
  std::uint32_t epoch = 0;
  std::vector<Key> leaves;
  std::vector<NodeId> nodes;
  std::vector<Region> regions;  // that were cut out whole, whatever the store holds there
  std::shared_ptr<const Erased> before;

  Erased() = default;
  Erased(const Erased&) = delete;
  Erased& operator=(const Erased&) = delete;
  ~Erased();
};

class Version final : public Reader {
 public:
  // A tree without a leaf, and without a store behind it.
  static Version empty(VersionOptions options = {});
  // The tree of a flushed generation, with the upper levels loaded, but for what is rotten of them
  // (take_rotten). The caller compares state_root() with what is certified. Errors: corrupt (no
  // root record), io.
  static Result<Version> open(std::shared_ptr<const Snapshot> snapshot,
                              VersionOptions options = {});

  // A new version with the updates applied; every touched node is hashed once. Updates are sorted
  // by key, one per key; no-op updates change nothing.
  // Precondition: no key is a prefix of another (schema/keys.hpp). Errors: corrupt, io.
  // `cache`: what was loaded when the batch was executed on this version.
  Result<Version> apply(std::span<const Update> sorted, NodeCache* cache = nullptr) const;

  // The same without the leaves in `region`, of which nothing is read: what the store holds there
  // does not matter. What cannot be read on the way goes with it. `cut` gets the subtrees that are
  // gone. Errors: corrupt, io (the store itself cannot be read).
  Result<Version> without(const Region& region, std::vector<Subtree>& cut) const;

  Hash root_hash() const;
  std::uint64_t leaf_count() const { return root_.count(); }
  // Commits to the cluster, the version of the state machine, the count and all leaves.
  Hash state_root(const Hash& cluster_id, std::uint32_t sm_version) const;

  // Reader. Found::unknown, false and nullopt mean that the store failed; take_fault() tells how.
  Found get(const Key& key, Bytes& value) const override;
  bool scan(const Key& from, const std::optional<Key>& to, const Visit& visit) const override;
  std::optional<std::uint64_t> count(const Key& prefix) const override;

  // The same with the error in hand. Errors: corrupt, io.
  Result<std::optional<Bytes>> read(const Key& key, NodeCache* cache = nullptr) const;
  Status read_range(const Key& from, const std::optional<Key>& to, const Visit& visit,
                    NodeCache* cache = nullptr) const;
  Result<std::uint64_t> read_count(const Key& prefix, NodeCache* cache = nullptr) const;

  // The first failed read of this version and its relatives since the last call.
  std::optional<Error> take_fault() const { return faults_->take(); }
  // Where the store does not hold what was written, as far as they met it since the last call.
  std::vector<Subtree> take_rotten() const { return faults_->take_rotten(); }

  // For the other parts of this room.
  const Ref& root() const { return root_; }
  Loader loader(NodeCache* cache) const { return Loader(snapshot_.get(), cache, *faults_); }

 private:
  friend class CachedVersion;
  friend class WriteSet;
  friend WriteSet begin_flush(Version& head);
  friend Version rebase(const Version& head, const WriteSet& flushed,
                        std::shared_ptr<const Snapshot> snapshot);
  friend Version on_equal(const Version& head, std::shared_ptr<const Snapshot> snapshot);

  Version() = default;
  Version with(Ref root, std::shared_ptr<Erased> erased) const;

  Ref root_;
  std::shared_ptr<const Snapshot> snapshot_;  // null: everything is in memory
  std::shared_ptr<Faults> faults_;
  std::shared_ptr<const Erased> erased_;  // since the snapshot
  std::uint32_t flushed_ = 0;             // nodes stamped with at most this are in the snapshot
  std::uint32_t epoch_ = 1;               // stamp of new nodes
  VersionOptions options_;
  std::uint64_t pin_above_ = 0;  // nodes with more leaves than this stay in memory
};

// A version as one batch or one query reads it: nothing is loaded from the store twice.
// Thread-safety: one thread.
class CachedVersion final : public Reader {
 public:
  explicit CachedVersion(Version version) : version_(std::move(version)) {}

  Found get(const Key& key, Bytes& value) const override;
  bool scan(const Key& from, const std::optional<Key>& to, const Visit& visit) const override;
  std::optional<std::uint64_t> count(const Key& prefix) const override;

  Result<Version> apply(std::span<const Update> sorted) const {
    return version_.apply(sorted, &cache_);
  }
  const Version& version() const { return version_; }
  Loader loader() const { return version_.loader(&cache_); }

 private:
  Version version_;
  mutable NodeCache cache_;
};

}  // namespace bftmeta::tree
