// A PageStore in memory, for tests and the simulator: every generation that is still in use can be
// read. tamper_* changes what is stored behind the tree's back, as rotting disks do.
// Thread-safety: as PageStore; tamper_* like the writer.
#pragma once

#include <map>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "tree/page_store.hpp"

namespace bftmeta::tree {

class MemoryPageStore final : public PageStore {
 public:
  MemoryPageStore();

  Result<std::shared_ptr<const Snapshot>> snapshot() const override;
  Result<std::unique_ptr<GenerationWriter>> begin() override;

  // Keys of what the newest generation holds, in order.
  std::vector<Key> leaf_keys() const;
  std::vector<NodeId> node_ids() const;
  // Replaces a record, in all generations; nullopt: it is lost.
  void tamper_leaf(const Key& key, std::optional<Bytes> value);
  void tamper_node(const NodeId& id, std::optional<Bytes> record);

 private:
  class View;
  class Writer;

  // The values of one record: each holds from its generation on; nullopt: erased.
  using History = std::vector<std::pair<std::uint64_t, std::optional<Bytes>>>;
  struct Tables {
    std::shared_mutex mutex;
    std::map<Key, History> leaves;
    std::map<NodeId, History> nodes;
    std::vector<std::weak_ptr<const Snapshot>> views;
  };

  static const Bytes* at(const History& history, std::uint64_t generation);
  // Earliest generation that somebody may still read. Forgets views that are gone.
  static std::uint64_t oldest_view(Tables& tables, std::uint64_t newest);

  std::shared_ptr<Tables> tables_;
  std::shared_ptr<const Snapshot> newest_;
};

}  // namespace bftmeta::tree
