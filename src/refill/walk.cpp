#include "refill/walk.hpp"

#include <algorithm>

#include "schema/keys.hpp"
#include "schema/records.hpp"

namespace bftmeta::refill {

namespace {

using schema::keys::InodeKind;

constexpr std::size_t kKindAt = 1 + 8;  // in an inode key
// Entries of one inode in front of its extents that are read rather than jumped over: a jump costs
// a descent from the root.
constexpr std::size_t kEntriesRead = 32;

NamedBlock block_of(const schema::Extent& extent) {
  return {extent.digest, std::min(extent.block_length, limits::kBlockSize)};
}

class Walk {
 public:
  Walk(const tree::Version& version, Key cursor)
      : version_(version), at_(std::max(cursor, first_cursor())) {}

  Result<Slice> run() {
    BFTMETA_TRY(read_counters());
    BFTMETA_TRY(enter_at_cursor());
    slice_.begin = position(at_);
    const auto end = first_cursor().prefix_end();
    do {
      jump_ = false;
      slice_.next.reset();
      BFTMETA_TRY(version_.read_range(
          at_, end, [this](const Key& key, ByteView value) { return visit(key, value); }, &cache_));
      if (error_) return tl::make_unexpected(std::move(*error_));
      if (jump_) at_ = *slice_.next;
    } while (jump_);
    slice_.end = slice_.next ? std::max(slice_.begin, position(*slice_.next)) : 1;
    return std::move(slice_);
  }

 private:
  // A cursor between the extents of an inode: its attributes lie before.
  Status enter_at_cursor() {
    if (at_.size() <= kKindAt) return {};
    ino_ = schema::keys::ino_of(at_);
    BFTMETA_ASSIGN(const auto value, version_.read(schema::keys::attributes(ino_), &cache_));
    if (value) set_attributes(*value);
    return take_error();
  }

  bool visit(const Key& key, ByteView value) {
    if (slice_.blocks.size() >= kSliceBlocks || leaves_ >= kSliceLeaves) {
      slice_.next = key;
      return false;
    }
    ++leaves_;
    if (schema::keys::ino_of(key) != ino_) {
      ino_ = schema::keys::ino_of(key);
      attributes_.reset();
      entries_ = 0;
    }
    const auto kind = static_cast<InodeKind>(key.data()[kKindAt]);
    if (kind == InodeKind::attributes) {
      set_attributes(value);
    } else if (kind == InodeKind::extent) {
      add(schema::keys::offset_of_extent(key), value);
    } else if (kind < InodeKind::extent && ++entries_ > kEntriesRead) {
      slice_.next = schema::keys::extents(ino_);
      jump_ = true;
    }
    return !error_ && !jump_;
  }

  void set_attributes(ByteView value) {
    auto attributes = schema::decode_record<schema::Attributes>(value, "attributes");
    if (!attributes)
      error_ = std::move(attributes.error());
    else
      attributes_ = std::move(*attributes);
  }

  // Extents without an inode, or cut off, wait to be purged: nobody can read them.
  void add(std::uint64_t offset, ByteView value) {
    auto extent = schema::decode_record<schema::Extent>(value, "extent");
    if (!extent)
      error_ = std::move(extent.error());
    else if (attributes_ && schema::live_extent(*attributes_, offset, *extent))
      slice_.blocks.push_back(block_of(*extent));
  }

  Status take_error() {
    if (error_) return tl::make_unexpected(std::move(*error_));
    return {};
  }

  Status read_counters() {
    BFTMETA_ASSIGN(const auto value, version_.read(schema::keys::counters(), &cache_));
    if (!value) return {};
    BFTMETA_ASSIGN(const auto counters,
                   schema::decode_record<schema::Counters>(*value, "counters"));
    next_ino_ = std::max(counters.next_ino, next_ino_);
    return {};
  }

  // Inode numbers are given out in order. Precondition: attributes_ are of the key's inode, or
  // none.
  double position(const Key& key) const {
    if (key.size() <= kKindAt) return 0;
    auto inodes = static_cast<double>(schema::keys::ino_of(key));
    if (schema::keys::is_extent(key) && attributes_ && attributes_->size != 0 &&
        schema::keys::ino_of(key) == ino_)
      inodes += std::min(1.0, static_cast<double>(schema::keys::offset_of_extent(key)) /
                                  static_cast<double>(attributes_->size));
    return std::min(1.0, inodes / static_cast<double>(next_ino_));
  }

  const tree::Version& version_;
  tree::NodeCache cache_;
  Key at_;
  Slice slice_;
  std::uint64_t next_ino_ = 1;  // of the version
  std::uint64_t ino_ = 0;
  std::optional<schema::Attributes> attributes_;  // of ino_
  std::size_t entries_ = 0;                       // of ino_, in front of its extents
  std::size_t leaves_ = 0;
  bool jump_ = false;  // go on at slice_.next
  std::optional<Error> error_;
};

}  // namespace

Key first_cursor() { return Key(ByteView(schema::keys::inode_prefix(0)).first(1)); }

Result<std::optional<NamedBlock>> named_at(const tree::Version& version, const Key& extent) {
  tree::NodeCache cache;
  BFTMETA_ASSIGN(const auto value, version.read(extent, &cache));
  BFTMETA_ASSIGN(const auto inode,
                 version.read(schema::keys::attributes(schema::keys::ino_of(extent)), &cache));
  if (!value || !inode) return std::nullopt;
  BFTMETA_ASSIGN(const auto found, schema::decode_record<schema::Extent>(*value, "extent"));
  BFTMETA_ASSIGN(const auto attributes,
                 schema::decode_record<schema::Attributes>(*inode, "attributes"));
  if (!schema::live_extent(attributes, schema::keys::offset_of_extent(extent), found))
    return std::nullopt;
  return block_of(found);
}

Result<Slice> named_blocks(const tree::Version& version, const Key& cursor) {
  return Walk(version, cursor).run();
}

}  // namespace bftmeta::refill
