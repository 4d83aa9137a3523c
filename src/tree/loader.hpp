// Brings subtrees that were left in the store back into memory. Everything is compared with the
// hash that the parent commits to, so what comes back is right or an error; nothing is written to
// shared nodes, the loaded node belongs to the caller. Thread-safety: const, any thread.
#pragma once

#include <map>

#include "base/result.hpp"
#include "tree/node.hpp"
#include "tree/page_store.hpp"

namespace bftmeta::tree {

class Faults;

// What one job (a batch, a query) has loaded so far, by hash, so that it loads and checks nothing
// twice. Thread-safety: one thread.
class NodeCache {
 public:
  NodePtr find(const Hash& hash) const;
  void insert(const Hash& hash, const NodePtr& node);

 private:
  // Far more than any batch or query within its limits touches; a scan of everything stops caching.
  static constexpr std::size_t kMaxEntries = 65536;
  std::map<Hash, NodePtr> nodes_;
};

class Loader {
 public:
  // `faults` is told which subtrees are not what was written.
  Loader(const Snapshot* snapshot, NodeCache* cache, Faults& faults)
      : snapshot_(snapshot), cache_(cache), faults_(&faults) {}

  // The node of `ref`. Precondition: the leaves of the snapshot in `region` are exactly those of
  // the subtree. `hint`: a key that is looked for, which saves a seek if the subtree holds its
  // prefix. Errors: corrupt (what is stored is not what was written), io.
  Result<NodePtr> load(const Ref& ref, const Region& region, const Key* hint) const;

 private:
  Result<NodePtr> load_stored(const Ref& ref, const Region& region, const Key* hint) const;
  Result<NodePtr> load_leaf(const Ref& ref, const Region& region, const Key* hint) const;
  Result<NodePtr> load_small(const Ref& ref, const Region& region) const;
  Result<NodePtr> load_record(const Ref& ref, const Region& region, const Key* hint) const;
  // nullopt: there is no such record, or it is not the one that `ref` commits to.
  Result<std::optional<NodePtr>> try_record(const Ref& ref, const Key& sample) const;
  tl::unexpected<Error> corrupt(const Ref& ref, const Region& region) const;

  const Snapshot* snapshot_;
  NodeCache* cache_;
  Faults* faults_;
};

// Record of an internal node (docs/formats/tree.md).
Bytes encode_node_record(const Node& node);
NodeId node_id(const Node& node);
// Record of the root of a generation.
Bytes encode_root_record(const Ref& root);
Result<Ref> decode_root_record(ByteView record);

}  // namespace bftmeta::tree
