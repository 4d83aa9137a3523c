// DirtyFile: making durable what was written.
#include <algorithm>

#include "fuse/dirty_file.hpp"

namespace bftmeta::fuse {

namespace {
// Conflicts in a row, each with a pause before it, until a flush gives up: some seconds.
constexpr unsigned kMaxAttempts = 24;
// Blocks put together for one commit from parts, held in memory at once.
constexpr std::size_t kMaxComposed = 32 * 1024 * 1024;
}  // namespace

Outcome<void> DirtyFile::flush() {
  std::lock_guard lock(mutex_);
  return flush_locked();
}

Outcome<void> DirtyFile::flush_unnamed() {
  std::lock_guard lock(mutex_);
  const std::uint64_t holders = services_.uploader.holders();
  const bool any = std::ranges::any_of(blocks_, [&](const auto& block) {
    return block.second.stored && block.second.holders != holders;
  });
  return any ? flush_locked() : Outcome<void>();
}

Outcome<void> DirtyFile::flush_locked() {
  unsigned attempts = 0;
  while (!blocks_.empty()) {
    bool conflict = false;
    BFTFS_TRY(commit_once(conflict));
    if (!conflict) {
      attempts = 0;
      continue;
    }
    if (++attempts == kMaxAttempts)
      return tl::make_unexpected(
          Failure(EIO, "inode " + std::to_string(ino_) + ": others changed the file " +
                           std::to_string(attempts) +
                           " times while written data was being committed; fsync tries again"));
    services_.pause(attempts);
    BFTFS_TRY(base_.refresh(services_.metadata, writer_));
  }
  dirty_end_ = 0;
  return {};
}

bool DirtyFile::fits_inline() const {
  const schema::Attributes& base = base_.attributes();
  return size_locked() <= limits::kMaxInline &&
         (base.data != schema::DataKind::extents || base.size == 0);
}

Outcome<void> DirtyFile::commit_once(bool& conflict) {
  // Inline data moves with the first commit; of extents only those under written parts are needed.
  if (!base_.known() || base_.attributes().data == schema::DataKind::inline_leaf)
    BFTFS_TRY(base_.ensure(services_.metadata, writer_, 0));
  const std::uint64_t holders = services_.uploader.holders();
  std::vector<std::uint64_t> included;
  schema::CommitData commit;
  if (fits_inline()) {
    for (const auto& [offset, dirty] : blocks_) included.push_back(offset);
    BFTFS_ASSIGN(commit, make_inline_commit());
  } else {
    BFTFS_ASSIGN(commit, make_extent_commit(included, holders));
  }
  commit.ino = ino_;
  commit.expected_version = base_.attributes().version;
  commit.mtime_ns = mtime_ns_;
  const Outcome<schema::Attributes> after = services_.metadata.commit(writer_, commit);
  if (!after) {
    conflict = after.error().code == schema::Code::version_conflict ||
               after.error().code == schema::Code::try_again;
    if (conflict) return {};
    return tl::make_unexpected(after.error());
  }
  base_.apply(commit, *after);
  for (std::uint64_t known = holders; known != services_.uploader.holders();) {
    known = services_.uploader.holders();
    BFTFS_TRY(put_again(commit));
  }
  for (const std::uint64_t offset : included) release(blocks_.find(offset));
  return {};
}

// An epoch ended between the first put and the commit: until then nobody fetched these blocks.
Outcome<void> DirtyFile::put_again(const schema::CommitData& commit) {
  for (const schema::ExtentChange& change : commit.extents) {
    if (change.length == 0) continue;
    BFTFS_ASSIGN(const blocks::Block block, services_.blocks.get(change.digest));
    const Result<Hash> digest = services_.uploader.start(*block)->wait();
    if (!digest) return tl::make_unexpected(Failure(digest.error()));
  }
  return {};
}

Outcome<schema::CommitData> DirtyFile::make_inline_commit() {
  schema::CommitData commit;
  commit.new_size = size_locked();
  schema::Content content;
  content.bytes.resize(static_cast<std::size_t>(commit.new_size));
  const auto it = blocks_.find(0);
  const bool replaced = it != blocks_.end() && it->second.replaced;
  if (const Bytes* base = base_.inline_data(); base != nullptr && !replaced)
    std::copy_n(base->begin(), std::min(base->size(), content.bytes.size()), content.bytes.begin());
  if (it != blocks_.end()) {
    BFTFS_TRY(bring_back(it->second));
    it->second.segments.overlay(0, content.bytes);
  }
  commit.inline_data = std::move(content);
  return commit;
}

Outcome<Bytes> DirtyFile::compose(std::uint64_t block, const Dirty& dirty) {
  Bytes content;
  if (!dirty.replaced && !dirty.segments.covers(limits::kBlockSize)) {
    BFTFS_TRY(base_.ensure(services_.metadata, writer_, block));
    if (const Bytes* base = base_.inline_data(); base != nullptr && block == 0) {
      content = *base;
    } else if (const auto extent = base_.extent_at(block)) {
      BFTFS_ASSIGN(const blocks::Block stored, services_.blocks.get(extent->digest));
      const std::uint64_t visible =
          std::min<std::uint64_t>(extent->length, base_.attributes().size - block);
      content.assign(stored->begin(),
                     stored->begin() + static_cast<std::ptrdiff_t>(
                                           std::min<std::uint64_t>(visible, stored->size())));
    }
  }
  content.resize(std::max<std::size_t>(content.size(), dirty.segments.end()));
  dirty.segments.overlay(0, content);
  return content;
}

// The digest, held by those who hold blocks now; at worst it is stored twice.
Result<Hash> DirtyFile::finish(UploadPtr& upload, Uploader& uploader, std::uint64_t holders) {
  Result<Hash> digest = upload->wait();
  if (!digest || upload->holders() == holders) return digest;
  upload = uploader.start(upload->content());
  return upload->wait();
}

Outcome<schema::CommitData> DirtyFile::make_extent_commit(std::vector<std::uint64_t>& included,
                                                          std::uint64_t holders) {
  schema::CommitData commit;
  std::vector<UploadPtr> uploads;  // in step with commit.extents; null: the change is final already
  std::size_t composed = 0;
  const auto add = [&](std::uint64_t offset, UploadPtr upload, DataExtent extent) {
    commit.extents.push_back({offset, extent.length, extent.digest});
    uploads.push_back(std::move(upload));
  };
  // Data that was inline becomes the first block.
  const Bytes* inline_data = base_.inline_data();
  if (inline_data != nullptr && !inline_data->empty() && !blocks_.contains(0))
    add(0, services_.uploader.start(*inline_data), {});
  for (auto& [offset, dirty] : blocks_) {
    if (commit.extents.size() == limits::kMaxExtentChanges || composed > kMaxComposed) break;
    included.push_back(offset);
    if (dirty.stored && dirty.holders != holders) BFTFS_TRY(bring_back(dirty));
    if (dirty.upload && dirty.upload->done() && dirty.upload->holders() != holders)
      dirty.upload = services_.uploader.start(dirty.upload->content());
    if (dirty.stored || dirty.upload) {
      add(offset, dirty.upload, dirty.stored.value_or(DataExtent{}));
      continue;
    }
    BFTFS_ASSIGN(Bytes content, compose(offset, dirty));
    composed += content.size();
    add(offset, content.empty() ? nullptr : services_.uploader.start(std::move(content)), {});
  }

  for (std::size_t i = 0; i < uploads.size(); ++i) {
    if (!uploads[i]) continue;
    const Result<Hash> digest = finish(uploads[i], services_.uploader, holders);
    if (!digest) {
      // Its next flush has to send it again.
      const auto it = blocks_.find(commit.extents[i].offset);
      if (it != blocks_.end()) BFTFS_TRY(bring_back(it->second));
      return tl::make_unexpected(Failure(digest.error()));
    }
    commit.extents[i].length = uploads[i]->length();
    commit.extents[i].digest = *digest;
  }
  const bool all = included.size() == blocks_.size();
  const std::uint64_t end = included.empty() ? 0 : included.back() + limits::kBlockSize;
  commit.new_size =
      all ? size_locked() : std::max(base_.attributes().size, std::min(end, size_locked()));
  return commit;
}

}  // namespace bftmeta::fuse
