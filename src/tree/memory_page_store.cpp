#include "tree/memory_page_store.hpp"

namespace bftmeta::tree {

class MemoryPageStore::View final : public Snapshot {
 public:
  View(std::shared_ptr<Tables> tables, std::uint64_t generation, Bytes root_record, Bytes meta)
      : tables_(std::move(tables)),
        generation_(generation),
        root_record_(std::move(root_record)),
        meta_(std::move(meta)) {}

  std::uint64_t generation() const override { return generation_; }
  Bytes root_record() const override { return root_record_; }
  Bytes meta() const override { return meta_; }

  Result<std::optional<Bytes>> leaf(const Key& key) const override {
    return find(tables_->leaves, key);
  }
  Result<std::optional<Bytes>> node(const NodeId& id) const override {
    return find(tables_->nodes, id);
  }
  Status scan_leaves(const Key& from, const std::optional<Key>& to,
                     const Visit& visit) const override {
    const std::shared_lock lock(tables_->mutex);
    for (auto it = tables_->leaves.lower_bound(from); it != tables_->leaves.end(); ++it) {
      if (to && it->first >= *to) break;
      const Bytes* value = at(it->second, generation_);
      if (value != nullptr && !visit(it->first, *value)) break;
    }
    return {};
  }

 private:
  template <class Table, class Id>
  std::optional<Bytes> find(const Table& table, const Id& id) const {
    const std::shared_lock lock(tables_->mutex);
    const auto it = table.find(id);
    if (it == table.end()) return std::nullopt;
    const Bytes* value = at(it->second, generation_);
    return value != nullptr ? std::optional(*value) : std::nullopt;
  }

  std::shared_ptr<Tables> tables_;
  std::uint64_t generation_;
  Bytes root_record_;
  Bytes meta_;
};

class MemoryPageStore::Writer final : public GenerationWriter {
 public:
  explicit Writer(MemoryPageStore& store) : store_(store) {}

  Status put_leaf(const Key& key, ByteView value) override {
    leaves_[key] = to_bytes(value);
    return {};
  }
  Status erase_leaf(const Key& key) override {
    leaves_[key] = std::nullopt;
    return {};
  }
  Status put_node(const NodeId& id, ByteView record) override {
    nodes_[id] = to_bytes(record);
    return {};
  }
  Status erase_node(const NodeId& id) override {
    nodes_[id] = std::nullopt;
    return {};
  }
  Status erase_region(const Region& region) override {
    const Tables& tables = *store_.tables_;
    for (const auto& [key, history] : tables.leaves)
      if (region.covers(key, 8 * key.size())) leaves_[key] = std::nullopt;
    for (const auto& [id, history] : tables.nodes)
      if (region.covers(id.prefix, id.bitlen)) nodes_[id] = std::nullopt;
    return {};
  }

  Result<std::shared_ptr<const Snapshot>> commit(ByteView root_record, ByteView meta) override {
    Tables& tables = *store_.tables_;
    const std::uint64_t generation = store_.newest_->generation() + 1;
    auto view = std::make_shared<const View>(store_.tables_, generation, to_bytes(root_record),
                                             to_bytes(meta));
    const std::unique_lock lock(tables.mutex);
    const std::uint64_t oldest = oldest_view(tables, store_.newest_->generation());
    merge(tables.leaves, leaves_, generation, oldest);
    merge(tables.nodes, nodes_, generation, oldest);
    tables.views.push_back(view);
    store_.newest_ = view;
    return view;
  }

 private:
  template <class Table, class Changes>
  static void merge(Table& table, Changes& changes, std::uint64_t generation,
                    std::uint64_t oldest) {
    for (auto& [id, value] : changes) {
      History& history = table[id];
      while (history.size() > 1 && history[1].first <= oldest) history.erase(history.begin());
      if (!value && history.empty()) {
        table.erase(id);
        continue;
      }
      history.emplace_back(generation, std::move(value));
    }
  }

  MemoryPageStore& store_;
  std::map<Key, std::optional<Bytes>> leaves_;
  std::map<NodeId, std::optional<Bytes>> nodes_;
};

MemoryPageStore::MemoryPageStore()
    : tables_(std::make_shared<Tables>()),
      newest_(std::make_shared<const View>(tables_, 0, Bytes(), Bytes())) {
  tables_->views.push_back(newest_);
}

Result<std::shared_ptr<const Snapshot>> MemoryPageStore::snapshot() const { return newest_; }

Result<std::unique_ptr<GenerationWriter>> MemoryPageStore::begin() {
  return std::make_unique<Writer>(*this);
}

const Bytes* MemoryPageStore::at(const History& history, std::uint64_t generation) {
  for (auto it = history.rbegin(); it != history.rend(); ++it)
    if (it->first <= generation) return it->second ? &*it->second : nullptr;
  return nullptr;
}

std::uint64_t MemoryPageStore::oldest_view(Tables& tables, std::uint64_t newest) {
  std::uint64_t oldest = newest;
  std::erase_if(tables.views, [&](const std::weak_ptr<const Snapshot>& weak) {
    const auto view = weak.lock();
    if (view) oldest = std::min(oldest, view->generation());
    return !view;
  });
  return oldest;
}

std::vector<Key> MemoryPageStore::leaf_keys() const {
  std::vector<Key> keys;
  for (const auto& [key, history] : tables_->leaves)
    if (at(history, newest_->generation()) != nullptr) keys.push_back(key);
  return keys;
}

std::vector<NodeId> MemoryPageStore::node_ids() const {
  std::vector<NodeId> ids;
  for (const auto& [id, history] : tables_->nodes)
    if (at(history, newest_->generation()) != nullptr) ids.push_back(id);
  return ids;
}

void MemoryPageStore::tamper_leaf(const Key& key, std::optional<Bytes> value) {
  tables_->leaves[key] = {{0, std::move(value)}};
}

void MemoryPageStore::tamper_node(const NodeId& id, std::optional<Bytes> record) {
  tables_->nodes[id] = {{0, std::move(record)}};
}

}  // namespace bftmeta::tree
