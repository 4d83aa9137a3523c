#include "tree/loader.hpp"

#include "crypto/hash.hpp"
#include "tree/build.hpp"
#include "tree/faults.hpp"
#include "tree/hashing.hpp"

namespace bftmeta::tree {

namespace {

constexpr std::uint8_t kRootRecordVersion = 1;

struct ChildRecord {
  std::uint16_t bitlen = 0;
  std::uint64_t count = 0;
  Hash hash{};
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("bitlen", s.bitlen);
    v.field("count", s.count);
    v.field("hash", s.hash);
  }
};

struct NodeRecord {
  ChildRecord left;
  ChildRecord right;
  std::uint64_t check = 0;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("left", s.left);
    v.field("right", s.right);
    v.field("check", s.check);
  }
};

struct RootRecord {
  std::uint8_t version = kRootRecordVersion;
  ChildRecord root;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("version", s.version);
    v.field("root", s.root);
  }
};

ChildRecord record_of(const Ref& ref) { return {ref.bitlen(), ref.count(), ref.hash()}; }

// A node's hash covers the sum of the counts but not how the children share it, and not where they
// branch; both would go unnoticed into the next root.
std::uint64_t check_sum(std::uint16_t bitlen, ByteView prefix, const NodeRecord& record) {
  const Hash hash = crypto::Hasher(tags::Domain::trie_record)
                        .update_u16(bitlen)
                        .update(prefix)
                        .update(encode(record.left))
                        .update(encode(record.right))
                        .finish();
  return load_be64(hash.data());
}

bool plausible(const ChildRecord& child, std::size_t above) {
  if (child.count == 0 || child.count >= kMaxLeaves) return false;
  if (child.bitlen == kLeafBits) return child.count == 1;
  return child.count > 1 && child.bitlen > above && child.bitlen < kMaxBits;
}

// Sorted, and neither key a prefix of the other.
bool follows(const Ref& leaf, const Key& key) {
  const ByteView before = leaf.node().get()->key();
  const std::size_t common = common_bits(before, key);
  return common < 8 * before.size() && common < 8 * key.size() && bit_at(key, common);
}

Ref ref_of(const ChildRecord& child) { return {child.hash, child.count, child.bitlen, NodePtr()}; }

}  // namespace

Region Region::below(const Node& parent, bool side) {
  return {extend(parent.prefix(), parent.bitlen(), side), std::size_t{parent.bitlen()} + 1};
}

bool Region::covers(ByteView path, std::size_t path_bits) const {
  return path_bits >= bits && common_bits(path, prefix) >= bits;
}

std::optional<Key> Region::end() const {
  if (bits == 0) return std::nullopt;
  Key last = prefix;
  // The next prefix of the same number of bits: carry from the last bit upwards.
  for (std::size_t i = bits; i-- > 0;) {
    if (!bit_at(last, i)) return extend(last, i, true);
  }
  return std::nullopt;
}

NodePtr NodeCache::find(const Hash& hash) const {
  const auto it = nodes_.find(hash);
  return it == nodes_.end() ? NodePtr() : it->second;
}

void NodeCache::insert(const Hash& hash, const NodePtr& node) {
  if (nodes_.size() < kMaxEntries) nodes_.emplace(hash, node);
}

Result<NodePtr> Loader::load(const Ref& ref, const Region& region, const Key* hint) const {
  if (ref.node()) return ref.node();
  BFTMETA_ASSERT(snapshot_ != nullptr && !ref.empty());
  if (cache_ == nullptr) return load_stored(ref, region, hint);
  if (NodePtr node = cache_->find(ref.hash())) return node;
  Result<NodePtr> node = load_stored(ref, region, hint);
  if (node) cache_->insert(ref.hash(), *node);
  return node;
}

Result<NodePtr> Loader::load_stored(const Ref& ref, const Region& region, const Key* hint) const {
  if (ref.is_leaf()) return load_leaf(ref, region, hint);
  return ref.count() <= kSmallSubtree ? load_small(ref, region) : load_record(ref, region, hint);
}

Result<NodePtr> Loader::load_leaf(const Ref& ref, const Region& region, const Key* hint) const {
  if (hint != nullptr) {
    BFTMETA_ASSIGN(const std::optional<Bytes> value, snapshot_->leaf(*hint));
    if (value && leaf_hash(*hint, value_hash(*value)) == ref.hash())
      return Node::make_leaf(0, *hint, *value);
  }
  NodePtr leaf;
  BFTMETA_TRY(
      snapshot_->scan_leaves(region.prefix, region.end(), [&](const Key& key, ByteView value) {
        if (leaf_hash(key, value_hash(value)) == ref.hash()) leaf = Node::make_leaf(0, key, value);
        return false;
      }));
  if (!leaf) return corrupt(ref, region);
  return leaf;
}

Result<NodePtr> Loader::load_small(const Ref& ref, const Region& region) const {
  std::vector<Ref> leaves;
  bool sound = true;
  BFTMETA_TRY(
      snapshot_->scan_leaves(region.prefix, region.end(), [&](const Key& key, ByteView value) {
        sound = leaves.size() < ref.count() && (leaves.empty() || follows(leaves.back(), key));
        if (sound) leaves.push_back(make_leaf_ref(0, key, value));
        return sound;
      }));
  if (!sound || leaves.size() != ref.count()) return corrupt(ref, region);
  Ref subtree = build(0, leaves);
  if (subtree.hash() != ref.hash()) return corrupt(ref, region);
  return subtree.node();
}

Result<NodePtr> Loader::load_record(const Ref& ref, const Region& region, const Key* hint) const {
  if (hint != nullptr && 8 * hint->size() >= ref.bitlen()) {
    BFTMETA_ASSIGN(std::optional<NodePtr> node, try_record(ref, *hint));
    if (node) return std::move(*node);
  }
  std::optional<Key> sample;
  BFTMETA_TRY(snapshot_->scan_leaves(region.prefix, region.end(), [&](const Key& key, ByteView) {
    sample = key;
    return false;
  }));
  if (!sample || 8 * sample->size() < ref.bitlen()) return corrupt(ref, region);
  BFTMETA_ASSIGN(std::optional<NodePtr> node, try_record(ref, *sample));
  if (!node) return corrupt(ref, region);
  return std::move(*node);
}

Result<std::optional<NodePtr>> Loader::try_record(const Ref& ref, const Key& sample) const {
  const std::uint16_t bitlen = ref.bitlen();
  const NodeId id{bitlen, truncate(sample, bitlen)};
  BFTMETA_ASSIGN(const std::optional<Bytes> raw, snapshot_->node(id));
  if (!raw) return std::optional<NodePtr>();
  const Result<NodeRecord> record = decode<NodeRecord>(*raw, "tree node record");
  if (!record || record->check != check_sum(bitlen, id.prefix, *record) ||
      !plausible(record->left, bitlen) || !plausible(record->right, bitlen) ||
      record->left.count + record->right.count != ref.count() ||
      node_hash(bitlen, id.prefix, ref.count(), record->left.hash, record->right.hash) !=
          ref.hash())
    return std::optional<NodePtr>();
  return std::optional<NodePtr>(
      Node::make_inner(0, bitlen, id.prefix, ref_of(record->left), ref_of(record->right)));
}

tl::unexpected<Error> Loader::corrupt(const Ref& ref, const Region& region) const {
  faults_->rotten({region, ref.hash()});
  return fail(Errc::corrupt, "tree store: the subtree of " + std::to_string(ref.count()) +
                                 " leaves at key prefix " + to_hex(region.prefix) + "/" +
                                 std::to_string(region.bits) + " in generation " +
                                 std::to_string(snapshot_->generation()) +
                                 " is not what its parent commits to (hash " +
                                 short_hex(ref.hash()) + "); it is repaired from other replicas");
}

NodeId node_id(const Node& node) { return {node.bitlen(), Key(node.prefix())}; }

Bytes encode_node_record(const Node& node) {
  NodeRecord record{record_of(node.child(false)), record_of(node.child(true)), 0};
  record.check = check_sum(node.bitlen(), node.prefix(), record);
  return encode(record);
}

Bytes encode_root_record(const Ref& root) { return encode(RootRecord{1, record_of(root)}); }

Result<Ref> decode_root_record(ByteView raw) {
  BFTMETA_ASSIGN(const RootRecord record, decode<RootRecord>(raw, "tree root record"));
  if (record.version != kRootRecordVersion)
    return fail(Errc::corrupt, "tree store: root record of unknown version " +
                                   std::to_string(record.version) +
                                   "; rebuild the store from another replica");
  if (record.root.count == 0) {
    if (record.root.bitlen != 0 || record.root.hash != Hash{})
      return fail(Errc::corrupt, "tree store: root record of an empty tree names a node");
    return Ref();
  }
  const bool shape_ok =
      record.root.count < kMaxLeaves &&
      (record.root.bitlen == kLeafBits ? record.root.count == 1
                                       : record.root.count > 1 && record.root.bitlen < kMaxBits);
  if (!shape_ok)
    return fail(Errc::corrupt,
                "tree store: root record is damaged; rebuild the store from another replica");
  return ref_of(record.root);
}

}  // namespace bftmeta::tree
