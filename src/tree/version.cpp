#include "tree/version.hpp"

#include "tree/hashing.hpp"
#include "tree/pins.hpp"

namespace bftmeta::tree {

namespace {

// Walks a range in key order. Depth of the recursion: at most kMaxBits.
class RangeWalk {
 public:
  RangeWalk(const Loader& loader, const Key& from, const std::optional<Key>& to,
            const Reader::Visit& visit)
      : loader_(loader), from_(from), to_(to), visit_(visit) {}

  // False in the value: `visit` has had enough.
  Result<bool> walk(const Ref& ref, const Region& region) {
    if (outside_range(region.prefix, region.bits, from_, to_)) return true;
    BFTMETA_ASSIGN(const NodePtr held, loader_.load(ref, region, nullptr));
    const Node& node = *held.get();
    if (node.is_leaf()) {
      const Key key(node.key());
      if (key < from_ || (to_ && key >= *to_)) return true;
      return visit_(key, node.value());
    }
    if (outside_range(node.prefix(), node.bitlen(), from_, to_)) return true;
    for (const bool side : {false, true}) {
      BFTMETA_ASSIGN(const bool more, walk(node.child(side), Region::below(node, side)));
      if (!more) return false;
    }
    return true;
  }

 private:
  const Loader& loader_;
  const Key& from_;
  const std::optional<Key>& to_;
  const Reader::Visit& visit_;
};

}  // namespace

Erased::~Erased() {
  std::shared_ptr<const Erased> next = std::move(before);
  // A chain of thousands of batches must not be a recursion of thousands of destructors.
  while (next && next.use_count() == 1) next = std::move(const_cast<Erased*>(next.get())->before);
}

Version Version::empty(VersionOptions options) {
  Version version;
  version.faults_ = std::make_shared<Faults>();
  version.options_ = options;
  version.pin_above_ = pin_threshold(0, options.pinned_nodes);
  return version;
}

Result<Version> Version::open(std::shared_ptr<const Snapshot> snapshot, VersionOptions options) {
  Version version = empty(options);
  const Bytes record = snapshot->root_record();
  version.snapshot_ = std::move(snapshot);
  if (record.empty()) return version;
  BFTMETA_ASSIGN(const Ref root, decode_root_record(record));
  version.pin_above_ = pin_threshold(root.count(), options.pinned_nodes);
  if (root.empty()) return version;
  BFTMETA_ASSIGN(version.root_, load_pinned(version.loader(nullptr), root, version.pin_above_));
  return version;
}

Hash Version::root_hash() const { return root_.empty() ? empty_hash() : root_.hash(); }

Hash Version::state_root(const Hash& cluster_id, std::uint32_t sm_version) const {
  return tree::state_root(cluster_id, sm_version, leaf_count(), root_hash());
}

Result<std::optional<Bytes>> Version::read(const Key& key, NodeCache* cache) const {
  if (root_.empty()) return std::nullopt;
  const Loader loader = this->loader(cache);
  Ref ref;  // keeps a loaded node, and with it the child that is looked at next, alive
  const Ref* at = &root_;
  Region region;
  while (true) {
    NodePtr held;
    const Node* node = at->node().get();
    if (node == nullptr) {
      BFTMETA_ASSIGN(held, loader.load(*at, region, &key));
      node = held.get();
    }
    if (node->is_leaf())
      return equal(node->key(), key) ? std::optional(to_bytes(node->value())) : std::nullopt;
    if (common_bits(node->prefix(), key) < node->bitlen() || 8 * key.size() <= node->bitlen())
      return std::nullopt;
    const bool side = key.bit(node->bitlen());
    const Ref& child = node->child(side);
    if (!child.node()) region = Region::below(*node, side);
    if (held) {
      Ref next = child;
      ref = std::move(next);
      at = &ref;
    } else {
      at = &child;
    }
  }
}

Status Version::read_range(const Key& from, const std::optional<Key>& to, const Visit& visit,
                           NodeCache* cache) const {
  if (root_.empty()) return {};
  const Loader loader = this->loader(cache);
  BFTMETA_TRY(RangeWalk(loader, from, to, visit).walk(root_, Region{}));
  return {};
}

Result<std::uint64_t> Version::read_count(const Key& prefix, NodeCache* cache) const {
  if (root_.empty()) return 0;
  const Loader loader = this->loader(cache);
  const std::size_t bits = 8 * prefix.size();
  Ref ref = root_;
  Region region;
  while (true) {
    BFTMETA_ASSIGN(const NodePtr held, loader.load(ref, region, nullptr));
    const Node& node = *held.get();
    const std::size_t shared = std::min(bits, node.path_bits());
    if (common_bits(node.path(), prefix) < shared) return 0;
    // The count is taken from the loaded node: its own hash commits to it, the parent's does not.
    if (node.path_bits() >= bits) return node.is_leaf() ? 1 : node.count();
    if (node.is_leaf()) return 0;
    const bool side = prefix.bit(node.bitlen());
    region = Region::below(node, side);
    Ref next = node.child(side);
    ref = std::move(next);
  }
}

Found Version::get(const Key& key, Bytes& value) const { return faults_->value(read(key), value); }

bool Version::scan(const Key& from, const std::optional<Key>& to, const Visit& visit) const {
  return faults_->known(read_range(from, to, visit));
}

std::optional<std::uint64_t> Version::count(const Key& prefix) const {
  return faults_->count(read_count(prefix));
}

Found CachedVersion::get(const Key& key, Bytes& value) const {
  return version_.faults_->value(version_.read(key, &cache_), value);
}

bool CachedVersion::scan(const Key& from, const std::optional<Key>& to, const Visit& visit) const {
  return version_.faults_->known(version_.read_range(from, to, visit, &cache_));
}

std::optional<std::uint64_t> CachedVersion::count(const Key& prefix) const {
  return version_.faults_->count(version_.read_count(prefix, &cache_));
}

}  // namespace bftmeta::tree
