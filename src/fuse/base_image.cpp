#include "fuse/base_image.hpp"

namespace bftmeta::fuse {

namespace {
constexpr std::uint64_t kWindowBytes = BaseImage::kWindowBlocks * limits::kBlockSize;
}

bool BaseImage::observe(const schema::Attributes& attributes) {
  if (known_ && attributes.version <= attributes_.version) return false;
  drop_data();
  attributes_ = attributes;
  known_ = true;
  return true;
}

void BaseImage::drop_data() {
  inline_.reset();
  extents_.clear();
  windows_.clear();
}

bool BaseImage::needs_data(std::uint64_t offset) const {
  if (!known_) return true;
  if (offset >= attributes_.size) return false;
  switch (attributes_.data) {
    case schema::DataKind::none: return false;
    case schema::DataKind::inline_leaf: return !inline_.has_value();
    case schema::DataKind::extents: return !windows_.contains(offset / kWindowBytes);
  }
  return false;
}

Outcome<void> BaseImage::ensure(FileMetadata& metadata, const schema::Caller& caller,
                                std::uint64_t offset) {
  if (!needs_data(offset)) return {};
  return load(metadata, caller, offset / kWindowBytes);
}

Outcome<void> BaseImage::refresh(FileMetadata& metadata, const schema::Caller& caller) {
  return load(metadata, caller, 0);
}

Outcome<void> BaseImage::load(FileMetadata& metadata, const schema::Caller& caller,
                              std::uint64_t window) {
  const std::uint64_t from = window * kWindowBytes;
  BFTFS_ASSIGN(FileData data, metadata.fetch(caller, ino_, from, from + kWindowBytes));
  // An answer from an older root than one we have seen cannot describe the file as it is.
  if (known_ && data.attributes.version < attributes_.version)
    return tl::make_unexpected(Failure(
        EIO, "inode " + std::to_string(ino_) + ": data of an older version than its attributes"));
  observe(data.attributes);
  if (windows_.size() >= kMaxWindows) drop_data();
  inline_ = std::move(data.inline_data);
  for (const auto& [offset, extent] : data.extents)
    if (offset >= from && offset < from + kWindowBytes) extents_[offset] = extent;
  windows_.insert(window);
  return {};
}

std::optional<DataExtent> BaseImage::extent_at(std::uint64_t offset) const {
  if (attributes_.data != schema::DataKind::extents || offset >= attributes_.size) return {};
  const auto it = extents_.find(offset);
  if (it == extents_.end()) return {};
  return it->second;
}

void BaseImage::apply(const schema::CommitData& commit, const schema::Attributes& after) {
  const bool only_ours = known_ && after.version == commit.expected_version + 1;
  if (!only_ours) {
    forget();
    observe(after);
    return;
  }
  const bool was_empty = attributes_.data != schema::DataKind::extents;
  attributes_ = after;
  if (commit.inline_data) {
    drop_data();
    inline_ = commit.inline_data->bytes;
    return;
  }
  inline_.reset();
  for (const schema::ExtentChange& change : commit.extents) {
    if (change.length == 0)
      extents_.erase(change.offset);
    else
      extents_[change.offset] = {change.length, change.digest};
    // A file without extents has, in every window, only what this commit put there.
    if (was_empty && windows_.size() < kMaxWindows) windows_.insert(change.offset / kWindowBytes);
  }
  // Entries of windows that were never read would be taken for the whole of them.
  std::erase_if(extents_, [this](const auto& entry) {
    return !windows_.contains(entry.first / kWindowBytes);
  });
}

}  // namespace bftmeta::fuse
